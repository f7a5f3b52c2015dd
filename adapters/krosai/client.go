package krosai

import (
	"net/http"

	"github.com/agentgw/agentgw/adapters"
)

func newClient(exchange adapters.Exchange) adapters.Client {
	return adapters.Client{Provider: provider, Exchange: exchange, Authorize: authorize, Failure: failure}
}

func authorize(header http.Header, cred adapters.Credential) {
	// The form of every agents sample; the authentication page's own sample has
	// X-API-Key, its text says Authorization.
	header.Set("Authorization", "Bearer "+cred.Reveal())
}
