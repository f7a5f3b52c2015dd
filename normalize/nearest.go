package normalize

import "github.com/agnivade/levenshtein"

// Nearest is the one of valid that name most likely means; empty where none
// is near, or name is too long to be a slip.
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
