// Package all lists the providers that agentgw supports: each adapter with the
// emulator that it is tested and demonstrated with. A new provider is added here
// and nowhere else. The package contains nothing but the list.
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

// Entry is a provider with its emulator.
type Entry struct {
	adapters.Provider
	Emulator func() sandbox.Emulator
}

// Entries returns every provider with its emulator, in the order in which they are
// shown.
func Entries() []Entry {
	return []Entry{
		{klen.Provider, func() sandbox.Emulator { return klensandbox.New() }},
		{agenthuman.Provider, func() sandbox.Emulator { return agenthumansandbox.New() }},
		{krosai.Provider, func() sandbox.Emulator { return krosaisandbox.New() }},
		{talkifai.Provider, func() sandbox.Emulator { return talkifaisandbox.New() }},
	}
}

// Providers returns every provider.
func Providers() []adapters.Provider {
	var providers []adapters.Provider
	for _, e := range Entries() {
		providers = append(providers, e.Provider)
	}
	return providers
}

// Names returns the name of every provider.
func Names() []string {
	var names []string
	for _, e := range Entries() {
		names = append(names, e.Info.Provider)
	}
	return names
}
