package alias

import (
	"context"
	"slices"

	"github.com/agentgw/agentgw/gateway/auth"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
)

// FollowRotations moves the aliases of an account whose credential was replaced to the new one,
// and records which keys have the accounts of aliases. It is called when the keys have changed.
//
// A credential was replaced if no key has it any more, and all keys that had it exist and have
// the same other one at its backend. Nothing is moved on less: keys may be missing because the
// configuration was read while it was being written, or because another instance has them.
func (s *Service) FollowRotations(ctx context.Context) {
	if s.Store == nil {
		return
	}
	backends := s.accountBackends()
	if len(backends) == 0 {
		return
	}
	recorded, err := s.Store.AccountKeys(ctx)
	for account, backend := range backends {
		if err != nil {
			break
		}
		keys := s.Keys().KeysWithAccount(account)
		switch successor := successorOf(s.Keys(), backend, recorded[account]); {
		case len(keys) == 0 && successor != "":
			err = s.Store.MoveAccount(ctx, account, successor)
		case len(keys) > 0 && !slices.Equal(keys, recorded[account]):
			err = s.Store.SetAccountKeys(ctx, account, keys)
		}
	}
	if err != nil {
		s.Log.WarnContext(ctx, "the accounts of aliases were not compared with the keys; a rotated credential is followed at the next reload", "error", err.Error())
	}
	s.Refresh(ctx)
}

// accountBackends returns the accounts that own aliases or have their targets, with the backend
// that each is an account of.
func (s *Service) accountBackends() map[string]string {
	backends := map[string]string{}
	for _, a := range s.table.Load().aliases {
		if account := sqlstore.AccountOf(a.Owner); account != "" {
			backends[account] = ParseStoredID(a.Name).Backend
		}
		backends[a.TargetAccount] = ParseStoredID(a.Target).Backend
	}
	return backends
}

// successorOf returns the one account that all of the keys have at a backend; empty if there is
// none.
func successorOf(ring *auth.Keyring, backend string, keys []string) (account string) {
	for _, id := range keys {
		caller := ring.Caller(id)
		if caller == nil {
			return ""
		}
		b, ok := caller.Backend(backend)
		if !ok || account != "" && b.Account != account {
			return ""
		}
		account = b.Account
	}
	return account
}

// recordAccounts records which keys have the accounts of an alias that was just written.
func (s *Service) recordAccounts(ctx context.Context, a sqlstore.Alias) {
	for _, account := range []string{sqlstore.AccountOf(a.Owner), a.TargetAccount} {
		if account == "" {
			continue
		}
		// Without it the alias works, and is not moved when its credential is rotated.
		if err := s.Store.SetAccountKeys(ctx, account, s.Keys().KeysWithAccount(account)); err != nil {
			s.Log.WarnContext(ctx, "the keys of an alias's account were not recorded", "error", err.Error())
		}
	}
}
