package agents

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/normalize"
)

// createLedger records which agents each account's creates have made, and which creates are
// running, so that reconciliation does not attribute an agent to the wrong create. Accounts may
// number their agents alike, so nothing is known by an agent's id alone. It covers the creates
// of this process only. It is safe for concurrent use.
type createLedger struct {
	created *lru.Cache[ledgerAgent, time.Time] // when the create had ended

	mu      sync.Mutex // also makes claim's check and add atomic
	running map[ledgerName]int
}

type (
	ledgerAgent struct{ address, account, nativeID string }
	ledgerName  struct{ address, account, name string }
)

func newCreateLedger() *createLedger {
	created, err := lru.New[ledgerAgent, time.Time](10_000)
	if err != nil {
		panic(err) // the size is a constant
	}
	return &createLedger{created: created, running: map[ledgerName]int{}}
}

// begin records that a create is running until end is called with the native id of the created
// agent, or with "" if that is not known.
func (l *createLedger) begin(b auth.CallerBackend, change normalize.Change) (end func(nativeID string)) {
	name := ledgerName{backendAddress(b), b.Account, foldedName(change)}
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
			l.created.Add(ledgerAgent{name.address, name.account, nativeID}, time.Now())
		}
	}
}

// claim attributes an agent to a create of b's account. It fails if another create made the
// agent, or while a create of that name is running, because that may be the one that made it.
func (l *createLedger) claim(b auth.CallerBackend, nativeID string, change normalize.Change) bool {
	name := ledgerName{backendAddress(b), b.Account, foldedName(change)}
	agent := ledgerAgent{name.address, name.account, nativeID}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[name] > 0 || l.created.Contains(agent) {
		return false
	}
	l.created.Add(agent, time.Now())
	return true
}

// hasCreated reports whether a create of b's account is known to have made an agent.
func (l *createLedger) hasCreated(b auth.CallerBackend, nativeID string) bool {
	return l.created.Contains(ledgerAgent{backendAddress(b), b.Account, nativeID})
}

// hasAnotherCreated reports whether a create of another account at the same address is known to
// have made an agent with this id since then. Two credentials may see one account.
func (l *createLedger) hasAnotherCreated(b auth.CallerBackend, nativeID string, since time.Time) bool {
	address := backendAddress(b)
	for _, agent := range l.created.Keys() {
		if agent.address == address && agent.nativeID == nativeID && agent.account != b.Account {
			if at, ok := l.created.Peek(agent); ok && at.After(since) {
				return true
			}
		}
	}
	return false
}

// backendAddress identifies a backend by its name and a hash of its base URL, so that a backend
// configured with another base URL counts as a different one.
func backendAddress(b auth.CallerBackend) string {
	sum := sha256.Sum256([]byte(b.Config.BaseURL.String()))
	return b.Name + " " + hex.EncodeToString(sum[:8])
}
