package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Accounts hold each key's own agents, in the order they were added. They are
// safe for concurrent use.
type Accounts[T any] struct {
	mu    sync.Mutex
	byKey map[string]*[]T
}

// Open gives the key an account if it has none.
func (a *Accounts[T]) Open(key string) {
	a.With(key, func(*[]T) {})
}

// Known reports whether the key has an account.
func (a *Accounts[T]) Known(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.byKey[key] != nil
}

// With lets do read and change the account, alone.
func (a *Accounts[T]) With(key string, do func(agents *[]T)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byKey == nil {
		a.byKey = map[string]*[]T{}
	}
	if a.byKey[key] == nil {
		a.byKey[key] = &[]T{}
	}
	do(a.byKey[key])
}

// Seed stores agents under the key, which gets an account if it has none.
func (a *Accounts[T]) Seed(key string, agents ...json.RawMessage) {
	a.Open(key)
	for _, raw := range agents {
		agent := MustDecode[T](raw)
		a.With(key, func(stored *[]T) { *stored = append(*stored, agent) })
	}
}

// SeedAll stores an array of agents under the key.
func (a *Accounts[T]) SeedAll(key string, array []byte) {
	a.Seed(key, MustDecode[[]json.RawMessage](array)...)
}

// One lets do read and change the one agent of the account that is meant, by
// its index; missing is the reply if there is none.
func (a *Accounts[T]) One(key string, meant func(T) bool, missing Reply, do func(stored *[]T, i int) Reply) (reply Reply) {
	a.With(key, func(stored *[]T) {
		i := slices.IndexFunc(*stored, meant)
		if i < 0 {
			reply = missing
			return
		}
		reply = do(stored, i)
	})
	return reply
}

// MustDecode reads a seed, which is the test's own: a member that the provider
// does not document is a mistake there.
func MustDecode[T any](data []byte) T {
	var v T
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		panic(fmt.Sprintf("sandbox: a seed is not as documented: %v", err))
	}
	return v
}

// decodeBody reads the body of a write; undocumented names members that the
// provider does not document, err is what is no JSON object of the right types.
func decodeBody(body []byte, v any) (undocumented string, err error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return name, nil
		}
		return "", err
	}
	return "", nil
}
