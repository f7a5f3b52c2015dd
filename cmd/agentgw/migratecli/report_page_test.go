package migratecli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/cmd/agentgw/migratecli/client"
)

// TestReportPage_Escapes: values of providers and callers are escaped everywhere.
func TestReportPage_Escapes(t *testing.T) {
	const evil = `<script>alert("1")</script>`
	var page bytes.Buffer
	r := report{Step: evil, Total: 1, Outcomes: []outcome{{
		Name: evil, Source: evil, TargetBackend: evil, Migration: evil, State: evil, Target: evil, Result: evil, Detail: evil,
		Losses: []string{evil}, Manual: []string{evil}, Warnings: []string{evil},
		Findings: []client.Finding{{Path: evil, Severity: evil, Message: evil, From: jsontext.Value(evil), To: jsontext.Value(evil)}},
	}}}
	if err := r.page().Render(&page); err != nil {
		t.Fatal(err)
	}
	const want = 19 // title, heading, two in the summary, ten in the row, five in its finding
	if got := page.String(); strings.Contains(got, "<script") || strings.Count(got, "&lt;script&gt;") != want {
		t.Errorf("%d escaped values, want %d, in\n%s", strings.Count(got, "&lt;script&gt;"), want, got)
	}
}
