package backend

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// relayErrors adds to the error of a failed request what the provider says about it. It does nothing
// unless it is on, which is the operator's choice: the text is the provider's.
func relayErrors(on bool) RoundTripMiddleware {
	return func(next adapters.RoundTrip) adapters.RoundTrip {
		if !on {
			return next
		}
		return func(ctx context.Context, req *adapters.Request) error {
			decode := req.Decode
			req.Decode = func(r adapters.Response) error {
				err := decode(r)
				if failure, ok := errors.AsType[*normalize.Error](err); ok && r.Status >= 400 {
					failure.Relayed = relayedText(r.Body, req.Credential.Reveal())
				}
				return err
			}
			return next(ctx, req)
		}
	}
}

// maxRelayed bounds a provider's text in characters.
const maxRelayed = 500

// gatewayKey matches a key of the gateway, whole or in part.
var gatewayKey = regexp.MustCompile(`agw_[a-z]+_[0-9A-Za-z]+`)

// errorTexts are the members in which APIs explain an error, as paths.
var errorTexts = [][]string{{"error", "message"}, {"message"}, {"error"}, {"detail"}, {"error_description"}, {"title"}}

// relayedText returns the text of an error response: the explanation if it is JSON and has one, else
// the whole body. Secrets are replaced before it is cut, so that no part of one is left.
func relayedText(body []byte, credential string) string {
	text := string(body)
	var document any
	if json.Unmarshal(body, &document, normalize.Lenient, jsontext.AllowDuplicateNames(true)) == nil {
		for _, path := range errorTexts {
			if found := textAt(document, path); found != "" {
				text = found
				break
			}
		}
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
	if credential != "" {
		text = strings.ReplaceAll(text, credential, "[redacted]")
	}
	text = gatewayKey.ReplaceAllString(text, "[redacted]")
	if characters := []rune(text); len(characters) > maxRelayed {
		text = string(characters[:maxRelayed-1]) + "…"
	}
	return strings.TrimSpace(text)
}

// textAt returns the string at a path of names in a JSON document; empty if there is none.
func textAt(document any, path []string) string {
	for _, name := range path {
		members, ok := document.(map[string]any)
		if !ok {
			return ""
		}
		document = members[name]
	}
	text, _ := document.(string)
	return text
}
