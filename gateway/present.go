package gateway

import (
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// present are header fields that a request has, of those that nearly every one is looked at
// for and few have: found in one pass, since each look-up brings the name into canonical
// form once more.
type present uint16

const (
	hasRequestID present = 1 << iota
	hasTraceparent
	hasAPIKey
	hasAccept
	hasAcceptEncoding
	hasPrefer
	hasCacheControl
	hasIfNoneMatch
	hasOrigin
)

// presentIn finds them. Names are in canonical form there.
func presentIn(header *fasthttp.RequestHeader) (has present) {
	for name := range header.All() {
		switch string(name) {
		case "X-Request-Id":
			has |= hasRequestID
		case "Traceparent":
			has |= hasTraceparent
		case "X-Api-Key":
			has |= hasAPIKey
		case fiber.HeaderAccept:
			has |= hasAccept
		case fiber.HeaderAcceptEncoding:
			has |= hasAcceptEncoding
		case "Prefer":
			has |= hasPrefer
		case fiber.HeaderCacheControl:
			has |= hasCacheControl
		case fiber.HeaderIfNoneMatch:
			has |= hasIfNoneMatch
		case fiber.HeaderOrigin:
			has |= hasOrigin
		}
	}
	return has
}

func (p present) any(of present) bool { return p&of != 0 }
