package backend

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestNew_ChainOrderMatchesComment compares the comment of New with its code.
func TestNew_ChainOrderMatchesComment(t *testing.T) {
	source, err := os.ReadFile("backend.go")
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	comment := regexp.MustCompile(`(?m)^//\t([a-z]+) `).FindAllStringSubmatch(text, -1)
	var names []string
	for _, m := range comment {
		names = append(names, m[1])
	}
	if got := strings.Join(names, " "); got != "recover compose cache adapter unchanged retry breaker bulkhead quota health trace upstream" {
		t.Fatalf("the comment of New has %s", got)
	}
	// Each chain calls the middlewares in this order.
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
