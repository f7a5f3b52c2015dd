package backend

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestOrder holds build's comment against what build does.
func TestOrder(t *testing.T) {
	source, err := os.ReadFile("backend.go")
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	comment := regexp.MustCompile(`(?m)^//\t([a-z]+) `).FindAllStringSubmatch(text, -1)
	var said []string
	for _, m := range comment {
		said = append(said, m[1])
	}
	if got := strings.Join(said, " "); got != "recover compose cache adapter unchanged retry breaker bulkhead quota health trace upstream" {
		t.Fatalf("the comment says %s", got)
	}
	// Each name's first mention in the code, in the chains' order.
	for _, order := range [][]string{
		{"recoverPanics(", "compose(", "o.Cache(b)"},
		{"skipUnchanged,", "retries.middleware(", "b.breaker.middleware(", "b.bulkhead.middleware(", "b.quotas.middleware(", "b.health.middleware(", "traceRoundTrip("},
	} {
		at := 0
		for _, name := range order {
			i := strings.Index(text[at:], name)
			if i < 0 {
				t.Fatalf("%s does not come after %s", name, text[at:min(at+40, len(text))])
			}
			at += i
		}
	}
}
