package gateway

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/normalize"
)

func TestEqualReadsShareOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		_, endpoint := cached(t, seconds(10, 0, 0), func(_ context.Context, c Call) (Result, error) {
			asked.Add(1)
			time.Sleep(time.Second)
			return Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: CacheMiss}, nil
		})
		// The first caller leaves; that harms none of the others.
		leaving, leave := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := endpoint(leaving, list("k")); normalize.KindOf(err) != normalize.KindCanceled {
				t.Errorf("who left got %v", err)
			}
		})
		synctest.Wait()
		for range 1000 {
			wg.Go(func() {
				if _, err := endpoint(context.Background(), list("k")); err != nil {
					t.Errorf("%v", err)
				}
			})
		}
		wg.Go(func() { _, _ = endpoint(context.Background(), list("other")) })
		synctest.Wait()
		leave()
		wg.Wait()
		if n := asked.Load(); n != 2 {
			t.Errorf("two credentials asked %d times", n)
		}
	})
}

// TestWhoJoinsHasItsOwnTime: a caller in a hurry who began a read takes no
// time from one who joins it.
func TestWhoJoinsHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, endpoint := cached(t, seconds(10, 0, 0), func(ctx context.Context, _ Call) (Result, error) {
			select {
			case <-time.After(3 * time.Second):
				return Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: CacheMiss}, nil
			case <-ctx.Done():
				return Result{}, &normalize.Error{Kind: normalize.KindDeadline}
			}
		})
		hurried, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := endpoint(hurried, list("k")); normalize.KindOf(err) != normalize.KindDeadline {
				t.Errorf("in a hurry: %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if result, err := endpoint(context.Background(), list("k")); err != nil || result.Cache != CacheCoalesced {
				t.Errorf("who joined: %q, %v", result.Cache, err)
			}
		})
		wg.Wait()
	})
}

func TestReadThatBeganBeforeAWriteIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, endpoint := cached(t, seconds(10, 0, 0), func(_ context.Context, c Call) (Result, error) {
			time.Sleep(time.Second)
			return Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: CacheMiss}, nil
		})
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = endpoint(context.Background(), list("k")) })
		synctest.Wait()
		write := list("k")
		write.Op, write.NativeID = adapters.OpUpdate, "1"
		wg.Go(func() { _, _ = endpoint(context.Background(), write) })
		wg.Wait()
		if n := entries(c); n != 0 {
			t.Errorf("%d entries", n)
		}
	})
}
