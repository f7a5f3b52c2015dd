package docsite

import (
	"regexp"
	"strings"
	"testing"
)

// TestPagesLoadOnlyWhatThereIs: every address in the page is served from here.
func TestPagesLoadOnlyWhatThereIs(t *testing.T) {
	pages := string(Page().Body.Plain()) + string(Errors(nil).Body.Plain())
	loaded := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(pages, -1)
	if len(loaded) < 5 {
		t.Fatalf("%d addresses", len(loaded))
	}
	seen := map[string]bool{}
	for _, m := range loaded {
		name, asset := strings.CutPrefix(m[1], "/docs/assets/")
		if !asset {
			if m[1] != "/openapi.json" && m[1] != "/docs/errors" && m[1] != "/docs" {
				t.Errorf("it refers to %s", m[1])
			}
			continue
		}
		f, ok := Asset(name)
		if !ok || len(f.Body.Plain()) == 0 || f.Media == "" {
			t.Errorf("there is no %s", name)
		}
		seen[name] = true
	}
	for name := range assets {
		if !seen[name] {
			t.Errorf("%s is not used", name)
		}
	}
	if _, ok := Asset("../docsite.go"); ok {
		t.Error("a file that is none of the page's")
	}
}

func TestErrorsHaveAnchors(t *testing.T) {
	page := string(Errors([]Code{{Code: "some_code", Status: 400, Title: "T", Cure: "<C>"}}).Body.Plain())
	if !strings.Contains(page, `<section id="some_code">`) || !strings.Contains(page, "&lt;C&gt;") {
		t.Error(page)
	}
}
