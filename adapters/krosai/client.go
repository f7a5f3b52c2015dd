package krosai

import "github.com/agentgw/agentgw/adapters"

func newClient(exchange adapters.Exchange) adapters.Client {
	return adapters.Client{Provider: provider, Exchange: exchange, Authorize: authorize, Failure: failure}
}

func authorize(cred adapters.Credential) adapters.Field {
	// The form of every agents sample; the authentication page's own sample has
	// X-API-Key, its text says Authorization.
	return adapters.Field{Name: "Authorization", Value: cred.Bearer()}
}
