package store

import "testing"

// BenchmarkOpen measures opening an empty store in memory, which creates the schema.
func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		s, err := Open(b.Context(), Memory, quiet)
		if err != nil {
			b.Fatal(err)
		}
		_ = s.Close()
	}
}
