package agenthuman

import "github.com/agentgw/agentgw/adapters"

func newClient(exchange adapters.Exchange) adapters.Client {
	return adapters.Client{Provider: provider, Exchange: exchange, Authorize: authorize, Failure: failure}
}

func authorize(cred adapters.Credential) adapters.Field {
	// The pages differ; every one of them but the oldest table takes the API key
	// here.
	return adapters.Field{Name: "X-Api-Key", Value: cred.Reveal()}
}
