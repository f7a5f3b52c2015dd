package catalog

import (
	"bytes"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// TestArchive: what went in comes out, however much there is.
func TestArchive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.IntRange(0, 300), rapid.SampledFrom([]int{0, 40_000, blockSize, 200_000}))
		var all []jsontext.Value
		for i := range rapid.IntRange(1, 40).Draw(t, "agents") {
			if n := size.Draw(t, "size"); n > 0 {
				all = append(all, append(bytes.Repeat([]byte(`{"a": 1},`), n/9+1)[:n], byte(i)))
			} else {
				all = append(all, nil)
			}
		}
		a := newArchive(all)
		for i, want := range all {
			if got := a.get(i); !bytes.Equal(got, want) || (got == nil) != (want == nil) {
				t.Fatalf("%d: %d bytes, want %d", i, len(got), len(want))
			} else if cap(got) > 2*len(want)+64 {
				t.Fatalf("%d: %d bytes pin %d", i, len(got), cap(got))
			}
		}
	})
}

// BenchmarkArchive is what keeping the raw JSON of so many agents costs, and how much of it
// is left.
func BenchmarkArchive(b *testing.B) {
	agent := []byte(`{"id": "agent-1", "name": "Agent 1", "description": "Helps users", "system_prompt": "You are a product expert.", "language": "en", "voice_id": "nova", "tts_provider": "t", "stt_provider": "s", "llm_model": "m", "knowledge_base_ids": ["kb-1"], "created_at": "2024-03-10T12:00:00Z", "updated_at": "2024-03-10T12:00:00Z", "created_by": "u"}`)
	for name, n := range map[string]int{"25": 25, "250": 250, "10000": 10_000} {
		b.Run("agents="+name, func(b *testing.B) {
			all, whole := make([]jsontext.Value, n), 0
			for i := range all {
				all[i] = bytes.ReplaceAll(agent, []byte("1"), []byte(string(rune('a'+i%26))+string(rune('a'+i/26%26))))
				whole += len(all[i])
			}
			b.SetBytes(int64(whole))
			for b.Loop() {
				a := newArchive(all)
				b.ReportMetric(float64(a.size())/float64(whole), "kept/raw")
			}
		})
	}
}
