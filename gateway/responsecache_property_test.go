package gateway

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/agentgw/agentgw/gateway/payload"
)

// TestResponseCache_AnswersAreEqualWithAndWithoutIt sends the same random requests to two
// gateways, of which one has no response cache, while providers, aliases, configuration and
// clock change. Each has its own emulated providers, which hold the same. It takes no
// sockets and no real time.
func TestResponseCache_AnswersAreEqualWithAndWithoutIt(t *testing.T) {
	startProcessWide(t)
	cached := false
	rapid.Check(t, func(rt *rapid.T) {
		steps := drawSteps(rt)
		var failure error
		// rapid must not stop a test inside the bubble.
		synctest.Test(t, func(t *testing.T) { failure = compareWithoutCache(t, steps, &cached) })
		if failure != nil {
			rt.Fatal(failure)
		}
	})
	if !cached {
		t.Error("no response was ever cached")
	}
}

// step is a request, or a change of what answers are made of.
type step struct {
	Change     change // changeNone: a request
	Key        string
	Method     string
	Path       string
	Body       string
	Header     string // "Name: value"
	NotChanged bool   // send If-None-Match with the last entity tag of the path
	NextPage   bool   // use the cursor of the last page

	AcceptEncoding string
}

type change int

const (
	changeNone change = iota
	changeSecond
	changeStale   // 30 s: what is cached is stale, and refreshed when it is read
	changeExpired // 100 s: what is cached is not served any more
	changeProviders
	changeFailing
	changeHealed
	changePurge
	changePurgeBackend
	changePurgeKey
	changeReload
	changeReloadReader // the key reader has other credentials
	changeReloadCORS
)

// Cache times of the test. A cache entry's lifetime varies by a tenth. With at most
// maxSeconds single seconds, no sum of clock steps falls into the range in which one
// gateway's entry may be fresh and the other's stale.
const (
	propertyBackend = "cache: {ttl: 20s, stale_while_revalidate: 50s, stale_if_error: 50s}"
	maxSeconds      = 7
)

var (
	propertyAgents = []string{"klen:123", krosAgent, talkAgent, "support-bot"}
	propertyLists  = []string{
		"/v1/agents", "/v1/agents?limit=1", "/v1/agents?backend=klen", "/v1/agents?q=a&order_by=-name",
		"/v1/agents?view=full&backend=talkifai", "/v1/agents?backend=krosai,talkifai&language=en",
	}
)

// drawSteps draws few reads and variants of them, which then come often, with changes in
// between. Only the third of equal reads can come from the response cache: the first one
// fetches, the second one finds what it needs in the snapshot cache.
func drawSteps(rt *rapid.T) (steps []step) {
	reads := rapid.SliceOfN(rapid.Custom(drawRead), 1, 3).Draw(rt, "reads")
	for _, s := range reads[:len(reads):len(reads)] {
		reads = append(reads, variant(rt, s))
	}
	for range rapid.IntRange(10, 60).Draw(rt, "steps") {
		switch rapid.IntRange(0, 9).Draw(rt, "kind") {
		case 0:
			steps = append(steps, step{Change: change(rapid.IntRange(int(changeSecond), int(changeReloadCORS)).Draw(rt, "change"))})
		case 1:
			steps = append(steps, drawWrite(rt))
		default:
			s := rapid.SampledFrom(reads).Draw(rt, "read")
			s.NotChanged = rapid.IntRange(0, 3).Draw(rt, "If-None-Match") == 0
			s.NextPage = rapid.IntRange(0, 5).Draw(rt, "next page") == 0
			s.AcceptEncoding = rapid.SampledFrom([]string{"", "", "gzip", "zstd", "gzip;q=0.5, zstd;q=0"}).Draw(rt, "Accept-Encoding")
			steps = append(steps, s)
		}
	}
	return steps
}

func drawRead(rt *rapid.T) step {
	path := rapid.OneOf(
		rapid.SampledFrom(propertyLists),
		rapid.Map(rapid.SampledFrom(propertyAgents), func(id string) string { return "/v1/agents/" + id }),
	)
	return step{
		Key: rapid.SampledFrom([]string{keyAcme, keyRead, keyKlen}).Draw(rt, "key"), Method: "GET", Path: path.Draw(rt, "path"),
	}
}

// variant returns a read that differs from another one in one thing.
func variant(rt *rapid.T, s step) step {
	switch rapid.IntRange(0, 3).Draw(rt, "variant") {
	case 0:
		s.Key = rapid.SampledFrom([]string{keyAcme, keyRead, keyKlen}).Draw(rt, "other key")
	case 1:
		s.Method = "HEAD"
	case 2:
		s.Header = rapid.SampledFrom([]string{"Prefer: handling=strict", "Cache-Control: no-cache", "Origin: https://app.example", "Accept: application/json", "Accept: text/csv"}).Draw(rt, "header")
	default:
		separator := "?"
		if strings.Contains(s.Path, "?") {
			separator = "&"
		}
		s.Path += separator + rapid.SampledFrom([]string{"include=raw", "resolve=none", "collapse_migrated=true", "limit=2"}).Draw(rt, "parameter")
	}
	return s
}

func drawWrite(rt *rapid.T) step {
	agent := "/v1/agents/" + rapid.SampledFrom(propertyAgents).Draw(rt, "agent")
	alias := "/v1/aliases/" + rapid.SampledFrom([]string{"support-bot", "klen:123"}).Draw(rt, "alias")
	number := rapid.IntRange(0, 3).Draw(rt, "number")
	switch rapid.IntRange(0, 5).Draw(rt, "write") {
	case 0:
		backend := rapid.SampledFrom([]string{"krosai", "talkifai"}).Draw(rt, "backend")
		return step{Key: keyAcme, Method: "POST", Path: "/v1/agents", Body: fmt.Sprintf(newAgents[backend], "New")}
	case 1:
		return step{Key: keyAcme, Method: "DELETE", Path: agent}
	case 2:
		return step{Key: keyAcme, Method: "DELETE", Path: alias}
	case 3:
		target := rapid.SampledFrom([]string{talkAgent, krosAgent, "klen:123"}).Draw(rt, "target")
		return step{Key: keyAcme, Method: "PUT", Path: alias, Body: fmt.Sprintf(`{"target": %q, "version": %d}`, target, number)}
	}
	return step{Key: keyAcme, Method: "PATCH", Path: agent, Body: fmt.Sprintf(`{"name": "Agent %d"}`, number)}
}

// startProcessWide has goroutines and channels made that all servers of a process share:
// they must not belong to a bubble.
func startProcessWide(t *testing.T) {
	compressed, _ := payload.New(bytes.Repeat([]byte("x"), 2*payload.MinSize)).In(payload.Zstd)
	if _, err := payload.Unzstd(compressed); err != nil {
		t.Fatal(err)
	}
	g := newMemoryGateway(t)
	g.send(step{Key: keyAcme, Method: "GET", Path: "/v1/agents"}, 0) // fasthttp's clock for Date
	g.close()
}

// compareWithoutCache returns an error for the first answer that differs.
func compareWithoutCache(t *testing.T, steps []step, cached *bool) error {
	with, without := newMemoryGateway(t), newMemoryGateway(t)
	defer with.close()
	defer without.close()
	without.noResponseCache()
	seconds := 0
	for i, s := range steps {
		if s.Change != changeNone {
			if s.Change == changeSecond {
				if seconds++; seconds > maxSeconds {
					continue
				}
			}
			with.change(s.Change, i)
			without.change(s.Change, i)
			without.noResponseCache()
			sleepFor(s.Change)
			synctest.Wait()
			continue
		}
		got := with.send(s, i)
		synctest.Wait() // for refreshes in the background
		*cached = *cached || with.gateway.responses.Size() > 0
		want := without.send(s, i)
		synctest.Wait()
		if !reflect.DeepEqual(got, want) {
			return fmt.Errorf("step %d, %+v:\nwith the response cache    %+v\nwithout the response cache %+v", i, s, got, want)
		}
	}
	if without.gateway.responses.Size() != 0 {
		return fmt.Errorf("the response cache of the second gateway is not off")
	}
	return nil
}

func sleepFor(c change) {
	switch c {
	case changeSecond:
		time.Sleep(time.Second)
	case changeStale:
		time.Sleep(30 * time.Second)
	case changeExpired:
		time.Sleep(100 * time.Second)
	}
}
