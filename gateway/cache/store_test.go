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

// testEntry returns an entry that is served for a minute and then kept for stale-if-error.
func testEntry(size int64) *entry {
	return &entry{owner: &backend.Tenant{Backend: &backend.Backend{Name: "b"}}, result: backend.Result{Fetched: time.Now()}, size: size, freshness: freshness{revalidateUntil: time.Now().Add(time.Minute)}}
}

func TestStore_IsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, metric := testStore(t, 100, 1000)
		for i := range 3 {
			if !s.put(fmt.Sprint(i), testEntry(300), time.Hour) {
				t.Fatalf("entry %d was refused", i)
			}
			time.Sleep(2 * time.Second)
		}
		if s.put("3", testEntry(300), time.Hour) || s.put("huge", testEntry(1001), time.Hour) {
			t.Error("an entry without room was stored while all others are served")
		}
		if entries, bytes := s.size(); entries != 3 || bytes != 900 || metric("agentgw_cache_refused_total") != "2" {
			t.Errorf("%d entries, %d bytes, %s refused", entries, bytes, metric("agentgw_cache_refused_total"))
		}
		if !s.put("2", testEntry(400), time.Hour) { // replaces the smaller one
			t.Error("a larger entry in place of a smaller one was refused")
		}
		if _, bytes := s.size(); bytes != 1000 {
			t.Errorf("%d bytes", bytes)
		}
		time.Sleep(57 * time.Second) // the first two are stale now
		if !s.put("4", testEntry(250), time.Hour) {
			t.Error("an entry that is only kept for stale-if-error was not evicted")
		}
		if _, ok := s.get("0"); ok || metric("agentgw_cache_evicted_total") == "0" {
			t.Errorf("the oldest is still there; %s evicted", metric("agentgw_cache_evicted_total"))
		}
		if _, ok := s.get("2"); !ok {
			t.Error("an entry that is served was evicted")
		}
		s.delete("2", "4", "nothing")
		s.deleteWhere(func(*backend.Tenant) bool { return true })
		if entries, bytes := s.size(); entries != 0 || bytes != 0 {
			t.Errorf("%d entries and %d bytes are left in an empty store", entries, bytes)
		}
	})
}

// Expired entries make room without being counted as evicted.
func TestStore_ExpiredEntriesMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, metric := testStore(t, 100, 1000)
		s.put("old", testEntry(900), time.Second)
		time.Sleep(2 * time.Second)
		if !s.put("new", testEntry(900), time.Hour) || metric("agentgw_cache_evicted_total") != "0" {
			t.Errorf("%s evicted", metric("agentgw_cache_evicted_total"))
		}
		if entries, bytes := s.size(); entries != 1 || bytes != 900 {
			t.Errorf("%d entries, %d bytes", entries, bytes)
		}
	})
}

// Entries are evicted only for an entry that fits then, and no more than needed.
func TestStore_EvictsOnlyWhatIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, metric := testStore(t, 10_000, 1600)
		for i := range 15 {
			s.put(fmt.Sprint(i), testEntry(100), time.Hour)
		}
		time.Sleep(2 * time.Minute) // all are only kept for stale-if-error now
		s.put("served", testEntry(100), time.Hour)
		if s.put("too large", testEntry(1501), time.Hour) || metric("agentgw_cache_evicted_total") != "0" {
			t.Errorf("%s evicted for an entry that does not fit", metric("agentgw_cache_evicted_total"))
		}
		time.Sleep(2 * time.Second)
		if !s.put("next", testEntry(50), time.Hour) || metric("agentgw_cache_evicted_total") != "1" {
			t.Errorf("%s evicted for an entry of half their size", metric("agentgw_cache_evicted_total"))
		}
	})
}

// The room that a replaced entry frees is counted once, whether it is served or stale.
func TestStore_ReplacedEntryIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, metric := testStore(t, 100, 1000)
		s.put("old", testEntry(400), time.Hour)
		s.put("spare", testEntry(400), time.Hour)
		time.Sleep(2 * time.Minute) // by the clock of synctest: both are only kept for stale-if-error
		s.put("served", testEntry(100), time.Hour)
		if s.put("old", testEntry(950), time.Hour) {
			t.Error("an entry that does not fit was stored")
		}
		if _, ok := s.get("spare"); !ok || metric("agentgw_cache_evicted_total") != "0" {
			t.Errorf("%s evicted for an entry that does not fit", metric("agentgw_cache_evicted_total"))
		}
	})
}

func TestStore_SizeMatchesEntries(t *testing.T) {
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
				s.put(key, testEntry(rand.N(int64(1000))), rand.N(5*time.Minute))
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

// If a new entry is refused, the old one of the key stays.
func TestStore_RefusedEntryKeepsTheOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := testStore(t, 10, 1000)
		s.put("other", testEntry(600), time.Hour)
		first := testEntry(300)
		s.put("list", first, time.Hour)
		if s.put("list", testEntry(500), time.Hour) {
			t.Fatal("an entry that does not fit was stored")
		}
		if e, ok := s.get("list"); !ok || e != first {
			t.Error("the old entry is gone")
		}
		if entries, bytes := s.size(); entries != 2 || bytes != 900 {
			t.Errorf("%d entries, %d bytes", entries, bytes)
		}
		time.Sleep(2 * time.Hour)
		if _, ok := s.get("list"); ok {
			t.Error("the old entry does not expire")
		}
	})
}
