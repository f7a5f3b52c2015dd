package normalize

import "testing"

// To compare two commits:
//
//	go test -run '^$' -bench . -count 10 ./normalize > new.txt && benchstat old.txt new.txt
func BenchmarkEncode(b *testing.B) {
	name, prompt := "Customer Support", "You are a helpful customer support agent."
	a := New("talkifai", "talkifai", "agent_abc123", ViewFull)
	a.Name, a.SystemPrompt = &name, &prompt
	a.Tools.Builtin = []string{"web_search"}
	for name, encode := range map[string]func() error{
		"row":  func() error { _, err := a.Row(); return err },
		"full": func() error { _, err := a.Encode(); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := encode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
