// Package all lists the providers that agentgw knows: each adapter beside the
// emulator that it is tested and demonstrated with. It is the one place that a
// new vendor is added to, and knows nothing else.
package all

import (
	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/agenthuman"
	"github.com/agentgw/agentgw/adapters/klen"
	"github.com/agentgw/agentgw/adapters/krosai"
	"github.com/agentgw/agentgw/adapters/talkifai"
	"github.com/agentgw/agentgw/sandbox"
	agenthumansandbox "github.com/agentgw/agentgw/sandbox/agenthuman"
	klensandbox "github.com/agentgw/agentgw/sandbox/klen"
	krosaisandbox "github.com/agentgw/agentgw/sandbox/krosai"
	talkifaisandbox "github.com/agentgw/agentgw/sandbox/talkifai"
)

// Vendor is a provider and its emulator.
type Vendor struct {
	adapters.Provider
	Emulator func() sandbox.Emulator
}

// Vendors is every vendor, in the order in which they are shown.
func Vendors() []Vendor {
	return []Vendor{
		{klen.Provider, func() sandbox.Emulator { return klensandbox.New() }},
		{agenthuman.Provider, func() sandbox.Emulator { return agenthumansandbox.New() }},
		{krosai.Provider, func() sandbox.Emulator { return krosaisandbox.New() }},
		{talkifai.Provider, func() sandbox.Emulator { return talkifaisandbox.New() }},
	}
}

// Providers is every provider.
func Providers() []adapters.Provider {
	var providers []adapters.Provider
	for _, v := range Vendors() {
		providers = append(providers, v.Provider)
	}
	return providers
}

// Names is every provider's name.
func Names() []string {
	var names []string
	for _, v := range Vendors() {
		names = append(names, v.Info.Provider)
	}
	return names
}
