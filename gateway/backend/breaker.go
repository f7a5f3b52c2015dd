package backend

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// breaker is the circuit breaker of a backend, on two levels, so that what one account is
// answered with takes the backend from no other account.
//
// A connection that cannot be made is the backend's failure. All others (a 5xx, a broken body, a
// timeout) may be due to what the account has or asks for: they are the account's, and the
// backend's only as far as other accounts have them, too, or if no other account is active.
type breaker struct {
	provider string
	config   config.Breaker
	backend  *circuit
	// accountChanged reports changes of the circuit of one account.
	accountChanged func(from, to string, openFor time.Duration)

	mu        sync.Mutex
	accounts  map[string]*accountCircuit // by credential ID
	lastProbe struct {
		account string
		at      time.Time
	}
}

// activeFor is for how long an account counts as active after it called: longer than most caches
// keep it from calling.
const activeFor = time.Hour

type accountCircuit struct {
	*circuit
	lastCall time.Time // or attempt of a call
}

// newBreaker returns a closed breaker. changed and accountChanged are called on changes of the
// state, with how long it stays open if it opens; they run under a lock and must not call the
// breaker.
func newBreaker(name, provider string, c config.Breaker, changed, accountChanged func(from, to string, openFor time.Duration)) *breaker {
	b := &breaker{provider: provider, config: c, accountChanged: accountChanged, accounts: map[string]*accountCircuit{}}
	b.backend = newCircuit(name, provider, c, b.weigh, changed)
	return b
}

func (b *breaker) middleware() RoundTripMiddleware {
	return func(next adapters.RoundTrip) adapters.RoundTrip {
		return func(ctx context.Context, req *adapters.Request) error {
			id := req.Credential.ID()
			account := b.account(id)
			if b.backend.notClosed.Load() && !b.mayProbe(id) {
				return b.backend.openError(req.Op)
			}
			return b.backend.do(req.Op,
				func() error {
					b.noteProbe(id)
					return account.do(req.Op, func() error { return next(ctx, req) }, b.classifyForAccount)
				},
				func(failure error) outcome { return b.classifyForBackend(id, failure) })
		}
	}
}

// account returns the circuit of an account, which is making a call.
func (b *breaker) account(id string) *circuit {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.accounts[id]
	if a == nil {
		a = &accountCircuit{circuit: newCircuit("", b.provider, b.config, sum, b.accountChanged)}
		b.accounts[id] = a
	}
	a.lastCall = time.Now()
	return a.circuit
}

// mayProbe reports whether an account may send the probe of the half-open backend. No account
// sends the next one, too, while others are active: it could keep the others from ever sending
// one. After open_for it may again.
func (b *breaker) mayProbe(account string) bool {
	b.mu.Lock()
	last := b.lastProbe
	b.mu.Unlock()
	return last.account != account || time.Since(last.at) >= b.config.OpenFor.D() || b.isAlone()
}

// noteProbe notes whose request is sent while the backend is not closed.
func (b *breaker) noteProbe(account string) {
	if !b.backend.notClosed.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastProbe.account, b.lastProbe.at = account, time.Now()
}

// isAlone reports whether at most one account is active.
func (b *breaker) isAlone() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	active := 0
	for _, a := range b.accounts {
		if time.Since(a.lastCall) < activeFor {
			active++
		}
	}
	return active <= 1
}

// isOfBackend reports whether a failure is due to the backend, whatever was asked: there was no
// connection.
func isOfBackend(failure error) bool {
	switch normalize.KindOf(failure) {
	case normalize.KindConnect, normalize.KindTLS, normalize.KindConnectTimeout:
		return true
	}
	return false
}

// isStaleConnection reports whether a kept connection turned out to be closed, which says nothing
// about the backend: the request is sent again on a fresh one.
func isStaleConnection(failure error) bool {
	e, ok := failure.(*normalize.Error)
	return ok && e.StaleConnection
}

// isAnswer reports whether the backend answered, whatever it was.
func isAnswer(failure error) bool {
	e, ok := failure.(*normalize.Error)
	return ok && e.Status != 0
}

// classifyForAccount: of the only account the backend's circuit takes care.
func (b *breaker) classifyForAccount(failure error) outcome {
	return outcome{error: failure, excluded: isStaleConnection(failure) || isOfBackend(failure) || isFailure(failure) && b.isAlone()}
}

// classifyForBackend: while several accounts are active, any answer to a probe shows that the
// backend is up, and what else became of it says nothing about the others.
func (b *breaker) classifyForBackend(account string, failure error) outcome {
	isProbe := b.backend.notClosed.Load() && !b.isAlone()
	switch {
	case isStaleConnection(failure):
		return outcome{error: failure, excluded: true}
	case isOfBackend(failure):
		return outcome{error: failure}
	case isProbe && isAnswer(failure):
		return outcome{error: failure, success: true}
	case isFailure(failure):
		return outcome{error: failure, account: account, excluded: isProbe}
	}
	return outcome{error: failure}
}

func isFailure(err error) bool { return problem.VerdictOf(err) == problem.VerdictFailure }

// weigh returns how many failures count for the backend. Those of the account with the most
// count no more than those of all others together, unless it is alone. Failures without an
// account are the backend's own.
func (b *breaker) weigh(byAccount map[string]int) int {
	all, most := sum(byAccount), 0
	for account, n := range byAccount {
		if account != "" {
			most = max(most, n)
		}
	}
	others := all - byAccount[""] - most
	if most <= others || b.isAlone() {
		return all
	}
	return all - most + others
}

func sum(byAccount map[string]int) (total int) {
	for _, n := range byAccount {
		total += n
	}
	return total
}

// state returns that of the backend's circuit: closed, open or half_open.
func (b *breaker) state() string { return b.backend.state() }

// forAccount returns the circuit that decides about an account's calls: the backend's unless
// only the account's is not closed.
func (b *breaker) forAccount(id string) *circuit {
	b.mu.Lock()
	a := b.accounts[id]
	b.mu.Unlock()
	if a == nil || b.backend.state() != "closed" {
		return b.backend
	}
	return a.circuit
}

// retain drops the circuits of credentials that are not in use.
func (b *breaker) retain(inUse map[string]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.accounts, func(id string, _ *accountCircuit) bool { return !inUse[id] })
}
