package klen

import (
	"net/http"

	"github.com/agentgw/agentgw/adapters"
)

func newClient(exchange adapters.Exchange) adapters.Client {
	return adapters.Client{Provider: provider, Exchange: exchange, Authorize: authorize, Failure: failure}
}

func authorize(header http.Header, cred adapters.Credential) {
	// Of the three documented forms the one that the vendor recommends.
	header.Set("Authorization", "Bearer "+cred.Reveal())
}
