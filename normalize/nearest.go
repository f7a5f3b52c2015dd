package normalize

import "github.com/agnivade/levenshtein"

// Nearest returns the valid name that a misspelled one most likely means; empty if none
// is near, or if name is longer than 64 bytes.
func Nearest(name string, valid []string) string {
	if len(name) > 64 {
		return ""
	}
	best, bestDistance := "", len(name)/3+2
	for _, v := range valid {
		if d := levenshtein.ComputeDistance(name, v); d < bestDistance || d == bestDistance && best != "" && v < best {
			best, bestDistance = v, d
		}
	}
	return best
}
