package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestReportPageEscapes: what vendors and callers wrote is text, wherever it stands.
func TestReportPageEscapes(t *testing.T) {
	const evil = `<script>alert("1")</script>`
	var page bytes.Buffer
	r := report{Step: evil, Total: 1, Outcomes: []outcome{{
		Source: evil, TargetBackend: evil, Migration: evil, State: evil, Target: evil, Result: evil, Detail: evil,
		Losses: []string{evil}, Manual: []string{evil}, Warnings: []string{evil},
	}}}
	if err := r.page().Render(&page); err != nil {
		t.Fatal(err)
	}
	const most = 13 // title, heading, two of the summary, nine of the row
	if got := page.String(); strings.Contains(got, "<script") || strings.Count(got, "&lt;script&gt;") != most {
		t.Errorf("%d of %d in\n%s", strings.Count(got, "&lt;script&gt;"), most, got)
	}
}
