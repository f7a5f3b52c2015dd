package agents

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/normalize"
)

// createLedger records which credential created which agent, and which creates are running, so
// that reconciliation does not attribute an agent to the wrong create. It covers the creates of
// this process only. It is safe for concurrent use.
type createLedger struct {
	creators *lru.Cache[ledgerAgent, string] // credential ids

	mu      sync.Mutex // also makes claim's check and add atomic
	running map[ledgerName]int
}

type (
	ledgerAgent struct{ address, nativeID string }
	ledgerName  struct{ address, name string }
)

func newCreateLedger() *createLedger {
	creators, err := lru.New[ledgerAgent, string](10_000)
	if err != nil {
		panic(err) // the size is a constant
	}
	return &createLedger{creators: creators, running: map[ledgerName]int{}}
}

// begin records that a create is running until end is called with the native id of the created
// agent, or with "" if that is not known.
func (l *createLedger) begin(b auth.CallerBackend, change normalize.Change) (end func(nativeID string)) {
	name := ledgerName{backendAddress(b), foldedName(change)}
	l.mu.Lock()
	l.running[name]++
	l.mu.Unlock()
	return func(nativeID string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.running[name]--; l.running[name] == 0 {
			delete(l.running, name)
		}
		if nativeID != "" {
			l.creators.Add(ledgerAgent{name.address, nativeID}, b.Credential.ID())
		}
	}
}

// claim attributes an agent to the credential of b. It fails if the agent has a creator, or while
// a create of that name is running, because that create may be the one that made the agent.
func (l *createLedger) claim(b auth.CallerBackend, nativeID string, change normalize.Change) bool {
	address := backendAddress(b)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[ledgerName{address, foldedName(change)}] > 0 || l.creators.Contains(ledgerAgent{address, nativeID}) {
		return false
	}
	l.creators.Add(ledgerAgent{address, nativeID}, b.Credential.ID())
	return true
}

// creator returns the id of the credential that created an agent, or "" if it is not known.
func (l *createLedger) creator(b auth.CallerBackend, nativeID string) string {
	credential, _ := l.creators.Get(ledgerAgent{backendAddress(b), nativeID})
	return credential
}

// backendAddress identifies a backend by its name and a hash of its base URL, so that a backend
// configured with another base URL counts as a different one.
func backendAddress(b auth.CallerBackend) string {
	sum := sha256.Sum256([]byte(b.Config.BaseURL.String()))
	return b.Name + " " + hex.EncodeToString(sum[:8])
}
