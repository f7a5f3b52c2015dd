package talkifai

import (
	"net/http"

	"github.com/agentgw/agentgw/adapters"
)

func newClient(roundTrip adapters.RoundTrip) adapters.Client {
	return adapters.Client{Provider: provider, RoundTrip: roundTrip, Authorize: authorize, Failure: failure}
}

func authorize(header http.Header, cred adapters.Credential) {
	// The introduction's form, for all endpoints; other pages have x-api-key or a
	// session token.
	header.Set("Authorization", cred.Bearer())
}
