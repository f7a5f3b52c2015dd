package normalize

import (
	"strings"

	"github.com/agnivade/levenshtein"
)

// Nearest returns the valid name that a misspelled one most likely means; empty if none
// is near, or if name is longer than 64 bytes.
func Nearest(name string, valid []string) string {
	if len(name) > 64 {
		return ""
	}
	name = strings.ToLower(name)
	best, bestDistance := "", len(name)/3+2
	for _, v := range valid {
		d := levenshtein.ComputeDistance(name, strings.ToLower(v))
		if d == 2 && len(name) <= 4 && len(v) != len(name) {
			continue // half of a short word: another word, and no typing error
		}
		if d < bestDistance || d == bestDistance && best != "" && v < best {
			best, bestDistance = v, d
		}
	}
	return best
}
