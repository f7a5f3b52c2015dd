package payload

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestIn_EachCoding(t *testing.T) {
	plain := []byte(strings.Repeat(`{"name":"agent"}`, 1000))
	p := New(plain)
	if p.Size() != int64(cap(plain)) {
		t.Errorf("size %d before any compression", p.Size())
	}
	zipped, coding := p.In(Gzip)
	r, err := gzip.NewReader(bytes.NewReader(zipped)) // the standard library's, not the one that wrote it
	if err != nil || coding != Gzip {
		t.Fatal(err, coding)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%v, %d bytes", err, len(got))
	}
	packed, coding := p.In(Zstd)
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxWindow(8<<20))
	if err != nil || coding != Zstd {
		t.Fatal(err, coding)
	}
	defer d.Close()
	if got, err := d.DecodeAll(packed, nil); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%v, %d bytes", err, len(got))
	}
	if got, coding := p.In(Identity); coding != Identity || &got[0] != &plain[0] {
		t.Error("the identity coding is a copy")
	}
	if want := int64(cap(plain) + cap(zipped) + cap(packed)); p.Size() != want {
		t.Errorf("size %d, want %d", p.Size(), want)
	}
}

func TestIn_ConcurrentCallsCompressOnce(t *testing.T) {
	p := New([]byte(strings.Repeat("x", 100_000)))
	var wg sync.WaitGroup
	first := make([]*byte, 16)
	for i := range first {
		wg.Go(func() {
			b, _ := p.In(Codings()[i%2])
			first[i] = &b[0]
		})
	}
	wg.Wait()
	for i := range first {
		if first[i] != first[i%2] {
			t.Fatal("the same coding was compressed twice")
		}
	}
}

func TestIn_IdentityIfNotSmaller(t *testing.T) {
	noise := make([]byte, 5000)
	_, _ = rand.Read(noise) // never fails
	for name, plain := range map[string][]byte{"small": bytes.Repeat([]byte("x"), MinSize), "noise": noise} {
		for _, c := range Codings() {
			if got, coding := New(plain).In(c); coding != Identity || !bytes.Equal(got, plain) {
				t.Errorf("%s was encoded as %s", name, coding)
			}
		}
	}
}
