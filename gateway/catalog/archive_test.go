package catalog

import (
	"bytes"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// TestArchive_ReturnsWhatWasStored holds the invariant of archive for get, reader and len,
// with and without compression.
func TestArchive_ReturnsWhatWasStored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.IntRange(0, 300), rapid.SampledFrom([]int{0, 1, dictionaryTarget, compressThreshold, dictionaryMax + 1, 70_000}))
		var all [][]byte
		for i := range rapid.IntRange(0, 40).Draw(t, "agents") {
			if n := size.Draw(t, "size"); n > 0 {
				all = append(all, append(bytes.Repeat([]byte(`{"a": 1},`), n/9+1)[:n], byte(i)))
			} else {
				all = append(all, nil)
			}
		}
		a := newArchive(len(all), func(i int) []byte { return all[i] })
		read := a.reader()
		for i, want := range all {
			one, next := a.get(i, nil), read(i)
			if !bytes.Equal(one, want) || !bytes.Equal(next, want) || (one == nil) != (want == nil) || a.len(i) != len(want) {
				t.Fatalf("%d: %d and %d bytes of %d, want %d", i, len(one), len(next), a.len(i), len(want))
			}
			if cap(one) > len(want) {
				t.Fatalf("%d: %d bytes keep %d alive", i, len(one), cap(one))
			}
		}
	})
}

// TestArchive_SimilarTextsAreSmall: what the texts have in common is stored once.
func TestArchive_SimilarTextsAreSmall(t *testing.T) {
	row := bytes.Repeat([]byte(`"a_field_that_all_have":null,`), 30)
	var all [][]byte
	for i := range 100 {
		all = append(all, append([]byte(strconv.Itoa(i)), row...))
	}
	a := newArchive(len(all), func(i int) []byte { return all[i] })
	if kept, whole := a.size(), int64(len(all)*len(row)); kept > whole/5 {
		t.Errorf("%d bytes of %d are stored", kept, whole)
	}
}

// TestArchive_LargeTexts: the dictionary is bounded, and does not keep a large text alive
// that size does not count.
func TestArchive_LargeTexts(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	a := newArchive(100, func(i int) []byte { return large[:len(large)>>(i%20)] })
	if a.dictionarySize > dictionaryMax || a.size() < int64(a.dictionarySize) {
		t.Errorf("a dictionary of %d bytes; %d in all", a.dictionarySize, a.size())
	}
	if sample := sampleTexts(100, func(int) []byte { return large }); cap(sample) > 2*dictionaryMax {
		t.Errorf("the dictionary keeps %d bytes alive", cap(sample))
	}
}

// BenchmarkArchive measures creating an archive of n agents, its size relative to the texts,
// and reading one text.
func BenchmarkArchive(b *testing.B) {
	agent := []byte(`{"id": "agent-1", "name": "Agent 1", "description": "Helps users", "system_prompt": "You are a product expert.", "language": "en", "voice_id": "nova", "tts_provider": "t", "stt_provider": "s", "llm_model": "m", "knowledge_base_ids": ["kb-1"], "created_at": "2024-03-10T12:00:00Z", "updated_at": "2024-03-10T12:00:00Z", "created_by": "u"}`)
	for name, n := range map[string]int{"25": 25, "250": 250, "10000": 10_000} {
		b.Run("agents="+name, func(b *testing.B) {
			all, whole := make([][]byte, n), 0
			for i := range all {
				all[i] = bytes.ReplaceAll(agent, []byte("1"), []byte(string(rune('a'+i%26))+string(rune('a'+i/26%26))))
				whole += len(all[i])
			}
			b.SetBytes(int64(whole))
			for b.Loop() {
				a := newArchive(n, func(i int) []byte { return all[i] })
				b.ReportMetric(float64(a.size())/float64(whole), "kept/raw")
			}
		})
		b.Run("read/agents="+name, func(b *testing.B) {
			a := newArchive(n, func(int) []byte { return agent })
			read := a.reader()
			for i := 0; b.Loop(); i++ {
				_ = read(i * 7919 % n)
			}
		})
	}
}
