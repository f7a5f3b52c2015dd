package migratecli

import (
	"bytes"
	"strings"
	"testing"
)

// TestReportPage_Escapes: values of providers and callers are escaped everywhere.
func TestReportPage_Escapes(t *testing.T) {
	const evil = `<script>alert("1")</script>`
	var page bytes.Buffer
	r := report{Step: evil, Total: 1, Outcomes: []outcome{{
		Source: evil, TargetBackend: evil, Migration: evil, State: evil, Target: evil, Result: evil, Detail: evil,
		Losses: []string{evil}, Manual: []string{evil}, Warnings: []string{evil},
	}}}
	if err := r.page().Render(&page); err != nil {
		t.Fatal(err)
	}
	const want = 13 // title, heading, two in the summary, nine in the row
	if got := page.String(); strings.Contains(got, "<script") || strings.Count(got, "&lt;script&gt;") != want {
		t.Errorf("%d escaped values, want %d, in\n%s", strings.Count(got, "&lt;script&gt;"), want, got)
	}
}
