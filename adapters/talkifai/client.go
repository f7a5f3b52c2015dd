package talkifai

import (
	"net/http"

	"github.com/agentgw/agentgw/adapters"
)

func newClient(exchange adapters.Exchange) adapters.Client {
	return adapters.Client{Provider: provider, Exchange: exchange, Authorize: authorize, Failure: failure}
}

func authorize(header http.Header, cred adapters.Credential) {
	// The introduction's form, for all endpoints; other pages have x-api-key or a
	// session token.
	header.Set("Authorization", "Bearer "+cred.Reveal())
}
