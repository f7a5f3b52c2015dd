package catalog

import (
	"cmp"
	"slices"
	"unsafe"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// RowWarning is a warning about a list, and the row that it is about.
type RowWarning struct {
	Row int // the index of the agent; -1 for a row that is not an agent
	normalize.Warning
}

// rowWarnings returns the warnings of a listing and of its agents, which are sorted.
func rowWarnings(listing adapters.Listing, agents []*normalize.Agent) []RowWarning {
	var all []RowWarning
	for _, w := range listing.Warnings {
		all = append(all, RowWarning{-1, w})
	}
	for i, a := range agents {
		for _, w := range a.Warnings {
			all = append(all, RowWarning{i, w})
		}
	}
	return all
}

// warningsOf returns the warnings of the agent at an index.
func (s *Snapshot) warningsOf(i int) (warnings []normalize.Warning) {
	from, _ := slices.BinarySearchFunc(s.Warnings, i, func(w RowWarning, row int) int { return cmp.Compare(w.Row, row) })
	for _, w := range s.Warnings[from:] {
		if w.Row != i {
			break
		}
		warnings = append(warnings, w.Warning)
	}
	return warnings
}

// replaceWarnings replaces the warnings of rows by those of the details that replace them.
func (s *Snapshot) replaceWarnings(details map[int]*Detail) {
	kept := make([]RowWarning, 0, len(s.Warnings))
	for _, w := range s.Warnings {
		if details[w.Row] == nil {
			kept = append(kept, w)
		}
	}
	for i, d := range details {
		if d == nil {
			continue
		}
		for _, w := range d.Agent.Warnings {
			kept = append(kept, RowWarning{i, w})
		}
	}
	slices.SortStableFunc(kept, func(a, b RowWarning) int { return cmp.Compare(a.Row, b.Row) })
	s.Warnings = kept
}

// warningsSize estimates the memory of warnings in bytes.
func warningsSize(warnings []RowWarning) (size int64) {
	for _, w := range warnings {
		size += int64(unsafe.Sizeof(w)) + int64(len(w.Pointer)+len(w.Message))
	}
	return size
}
