package krosai

import (
	"net/http"

	"github.com/agentgw/agentgw/adapters"
)

func newClient(roundTrip adapters.RoundTrip) adapters.Client {
	return adapters.Client{Provider: provider, RoundTrip: roundTrip, Authorize: authorize, Failure: failure}
}

func authorize(header http.Header, cred adapters.Credential) {
	// Every sample of the agents pages uses this form. The authentication page has
	// X-API-Key in its sample and Authorization in its text.
	header.Set("Authorization", cred.Bearer())
}
