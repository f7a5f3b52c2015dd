package klen

import (
	"net/http"

	"github.com/agentgw/agentgw/adapters"
)

func newClient(roundTrip adapters.RoundTrip) adapters.Client {
	return adapters.Client{Provider: provider, RoundTrip: roundTrip, Authorize: authorize, Failure: failure}
}

func authorize(header http.Header, cred adapters.Credential) {
	// The provider documents three forms and recommends this one.
	header.Set("Authorization", cred.Bearer())
}
