package talkifai

import "github.com/agentgw/agentgw/adapters"

func newClient(exchange adapters.Exchange) adapters.Client {
	return adapters.Client{Provider: provider, Exchange: exchange, Authorize: authorize, Failure: failure}
}

func authorize(cred adapters.Credential) adapters.Field {
	// The introduction's form, for all endpoints; other pages have x-api-key or a
	// session token.
	return adapters.Field{Name: "Authorization", Value: cred.Bearer()}
}
