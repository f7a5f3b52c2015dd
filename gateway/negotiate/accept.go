// Package negotiate reads the headers by which a caller says what it accepts (RFC 9110, section 12).
package negotiate

import (
	"errors"
	"mime"
	"strconv"
	"strings"
)

// AcceptsJSON reports whether lines of Accept admit what the gateway sends (RFC 9110, section
// 12.5.1): of the ranges that match a type the most specific one counts.
func AcceptsJSON(lines []string) bool {
	if strings.Trim(strings.Join(lines, ""), ", \t") == "" {
		return true
	}
	quality, known := qualityOf("application/json", lines)
	if !known {
		quality, _ = qualityOf("application/problem+json", lines)
	}
	return quality > 0
}

// qualityOf returns the quality of a media type; known is false if no range matches it.
func qualityOf(media string, lines []string) (quality float64, known bool) {
	family, _, _ := strings.Cut(media, "/")
	best := 0
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			accepted, parameters, err := mime.ParseMediaType(element)
			if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
				continue
			}
			specificity := 0
			switch accepted {
			case media:
				specificity = 3
			case family + "/*":
				specificity = 2
			case "*/*":
				specificity = 1
			}
			if specificity <= best {
				continue
			}
			best, quality = specificity, 1
			if q, given := parameters["q"]; given {
				if quality, err = strconv.ParseFloat(q, 64); err != nil {
					quality = 1
				}
			}
		}
	}
	return quality, best > 0
}
