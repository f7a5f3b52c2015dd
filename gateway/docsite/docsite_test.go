package docsite

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestPages_LinksAreServed: the pages link only to files and routes of the gateway, and every
// asset is used.
func TestPages_LinksAreServed(t *testing.T) {
	links := regexp.MustCompile(`(?:src|href)="([^"]*)"`)
	loaded := links.FindAllStringSubmatch(string(Page().Body.Plain()), -1)
	for _, m := range links.FindAllStringSubmatch(string(Errors(nil).Body.Plain()), -1) {
		loaded = append(loaded, []string{m[0], path.Join("docs", m[1])}) // relative to /docs/
	}
	if len(loaded) < 5 {
		t.Fatalf("found only %d links", len(loaded))
	}
	seen := map[string]bool{}
	for _, m := range loaded {
		name, asset := strings.CutPrefix(m[1], "docs/assets/")
		if !asset {
			if m[1] != "openapi.json" && m[1] != "docs/errors" && m[1] != "docs" {
				t.Errorf("a page links to %s", m[1])
			}
			continue
		}
		f, ok := Asset(name)
		if !ok || len(f.Body.Plain()) == 0 || f.Media == "" {
			t.Errorf("the asset %s is missing or empty", name)
		}
		seen[name] = true
	}
	for name := range assets {
		if !seen[name] {
			t.Errorf("the asset %s is not used", name)
		}
	}
	if _, ok := Asset("../docsite.go"); ok {
		t.Error("Asset returned a file outside of assets")
	}
}

func TestErrors_AnchorsAndEscaping(t *testing.T) {
	page := string(Errors([]Code{{Code: "some_code", Status: 400, Title: "T", Fix: "<C>"}}).Body.Plain())
	if !strings.Contains(page, `<section id="some_code">`) || !strings.Contains(page, "&lt;C&gt;") {
		t.Error(page)
	}
}
