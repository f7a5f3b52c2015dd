package agenthuman

import (
	"net/http"

	"github.com/agentgw/agentgw/adapters"
)

func newClient(roundTrip adapters.RoundTrip) adapters.Client {
	return adapters.Client{Provider: provider, RoundTrip: roundTrip, Authorize: authorize, Failure: failure}
}

func authorize(header http.Header, cred adapters.Credential) {
	// The pages differ; every one of them but the oldest table takes the API key
	// here.
	header.Set("X-Api-Key", cred.Reveal())
}
