package cache

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

func testStore(t *testing.T, maxEntries int, maxBytes int64) (*store, func(metric string) string) {
	t.Helper()
	tel, err := telemetry.New(context.Background(), telemetry.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(tel)
	s.limit(maxEntries, maxBytes)
	return s, func(metric string) string {
		w := httptest.NewRecorder()
		tel.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		for _, line := range strings.Split(w.Body.String(), "\n") {
			if value, ok := strings.CutPrefix(line, metric+`{backend="b"} `); ok {
				return value
			}
		}
		return "0"
	}
}

// keptEntry is an entry that is served for a minute and then kept for the case of a
// failure.
func keptEntry(size int64) *entry {
	return &entry{owner: &backend.Tenant{Backend: &backend.Backend{Name: "b"}}, result: backend.Result{Fetched: time.Now()}, size: size, freshness: freshness{revalidateUntil: time.Now().Add(time.Minute)}}
}

func TestStoreIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, metric := testStore(t, 100, 1000)
		for i := range 3 {
			if !s.put(fmt.Sprint(i), keptEntry(300), time.Hour) {
				t.Fatalf("entry %d was refused", i)
			}
			time.Sleep(2 * time.Second)
		}
		if s.put("3", keptEntry(300), time.Hour) || s.put("huge", keptEntry(1001), time.Hour) {
			t.Error("what has no room was kept, while all else is served")
		}
		if entries, bytes := s.size(); entries != 3 || bytes != 900 || metric("agentgw_cache_refused_total") != "2" {
			t.Errorf("%d entries, %d bytes, %s refused", entries, bytes, metric("agentgw_cache_refused_total"))
		}
		if !s.put("2", keptEntry(400), time.Hour) { // in place of its predecessor
			t.Error("a larger one in place of a smaller was refused")
		}
		if _, bytes := s.size(); bytes != 1000 {
			t.Errorf("%d bytes", bytes)
		}
		time.Sleep(57 * time.Second) // the first two are not served any more
		if !s.put("4", keptEntry(250), time.Hour) {
			t.Error("what is only kept for failures made no room")
		}
		if _, ok := s.get("0"); ok || metric("agentgw_cache_evicted_total") == "0" {
			t.Errorf("the oldest is still there; %s evicted", metric("agentgw_cache_evicted_total"))
		}
		if _, ok := s.get("2"); !ok {
			t.Error("what is served made room")
		}
		s.delete("2", "4", "nothing")
		s.deleteWhere(func(*backend.Tenant) bool { return true })
		if entries, bytes := s.size(); entries != 0 || bytes != 0 {
			t.Errorf("%d entries and %d bytes are left of nothing", entries, bytes)
		}
	})
}

// TestExpiredEntriesMakeRoom: without being counted as evicted.
func TestExpiredEntriesMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, metric := testStore(t, 100, 1000)
		s.put("old", keptEntry(900), time.Second)
		time.Sleep(2 * time.Second)
		if !s.put("new", keptEntry(900), time.Hour) || metric("agentgw_cache_evicted_total") != "0" {
			t.Errorf("%s evicted", metric("agentgw_cache_evicted_total"))
		}
		if entries, bytes := s.size(); entries != 1 || bytes != 900 {
			t.Errorf("%d entries, %d bytes", entries, bytes)
		}
	})
}

// TestRoomIsMadeForWhatFits: and only as much as is needed.
func TestRoomIsMadeForWhatFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, metric := testStore(t, 10_000, 1600)
		for i := range 15 {
			s.put(fmt.Sprint(i), keptEntry(100), time.Hour)
		}
		time.Sleep(2 * time.Minute) // all are only kept for failures
		s.put("served", keptEntry(100), time.Hour)
		if s.put("too large", keptEntry(1501), time.Hour) || metric("agentgw_cache_evicted_total") != "0" {
			t.Errorf("%s made room for what does not fit", metric("agentgw_cache_evicted_total"))
		}
		time.Sleep(2 * time.Second)
		if !s.put("next", keptEntry(50), time.Hour) || metric("agentgw_cache_evicted_total") != "1" {
			t.Errorf("%s made room for one half their size", metric("agentgw_cache_evicted_total"))
		}
	})
}

// TestReplacedMakesRoomOnce: what an old entry frees is counted once, whether it is served or
// only kept for failures.
func TestReplacedMakesRoomOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, metric := testStore(t, 100, 1000)
		s.put("old", keptEntry(400), time.Hour)
		s.put("spare", keptEntry(400), time.Hour)
		time.Sleep(2 * time.Minute) // by the clock of synctest: both are only kept for failures
		s.put("served", keptEntry(100), time.Hour)
		if s.put("old", keptEntry(950), time.Hour) {
			t.Error("it was kept, and does not fit")
		}
		if _, ok := s.get("spare"); !ok || metric("agentgw_cache_evicted_total") != "0" {
			t.Errorf("%s made room for what does not fit", metric("agentgw_cache_evicted_total"))
		}
	})
}

// TestStoreKeepsCount: its size is that of what is kept.
func TestStoreKeepsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := testStore(t, 12, 4000)
		for range 3000 {
			key := fmt.Sprint(rand.N(16))
			switch rand.N(8) {
			case 0:
				s.delete(key)
			case 1:
				time.Sleep(rand.N(40 * time.Second)) // by the clock of synctest
			default:
				s.put(key, keptEntry(rand.N(int64(1000))), rand.N(5*time.Minute))
			}
			var kept int
			var bytes int64
			s.items.DeleteExpired()
			for _, item := range s.items.Items() {
				e := item.Object.(*entry)
				kept, bytes = kept+1, bytes+e.size
			}
			if s.bytes != bytes || bytes > 4000 || kept > 12 {
				t.Fatalf("%d bytes are counted, %d kept, of %d entries", s.bytes, bytes, kept)
			}
		}
	})
}

// TestRefusedAnswerLeavesTheOneBefore: for the case of a failure.
func TestRefusedAnswerLeavesTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := testStore(t, 10, 1000)
		s.put("other", keptEntry(600), time.Hour)
		first := keptEntry(300)
		s.put("list", first, time.Hour)
		if s.put("list", keptEntry(500), time.Hour) {
			t.Fatal("it was kept")
		}
		if e, ok := s.get("list"); !ok || e != first {
			t.Error("the one before is gone, too")
		}
		if entries, bytes := s.size(); entries != 2 || bytes != 900 {
			t.Errorf("%d entries, %d bytes", entries, bytes)
		}
		time.Sleep(2 * time.Hour)
		if _, ok := s.get("list"); ok {
			t.Error("it does not expire any more")
		}
	})
}
