package sqlstore

import "testing"

func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		s, err := Open(b.Context(), Memory, quiet)
		if err != nil {
			b.Fatal(err)
		}
		_ = s.Close()
	}
}
