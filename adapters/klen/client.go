package klen

import "github.com/agentgw/agentgw/adapters"

func newClient(exchange adapters.Exchange) adapters.Client {
	return adapters.Client{Provider: provider, Exchange: exchange, Authorize: authorize, Failure: failure}
}

func authorize(cred adapters.Credential) adapters.Field {
	// Of the three documented forms the one that the vendor recommends.
	return adapters.Field{Name: "Authorization", Value: cred.Bearer()}
}
