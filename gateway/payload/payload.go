// Package payload holds bytes that are ready to be sent, and their compressed
// forms, each made once, when it is first asked for.
//
// It must not know what the bytes say, nor who asks for them.
package payload

import (
	"bytes"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Coding is a content coding (RFC 9110, 8.4.1).
type Coding string

// The codings that a payload can be sent in.
const (
	Identity Coding = "identity"
	Gzip     Coding = "gzip" // RFC 1952
	Zstd     Coding = "zstd" // RFC 8878
)

// Codings are those that compress, the better one first.
func Codings() []Coding { return codings[:] }

var codings = [...]Coding{Zstd, Gzip}

// MinSize is the size in bytes above which a payload is worth compressing.
const MinSize = 1 << 10

// Payload is immutable content. It is safe for concurrent use.
type Payload struct {
	plain      []byte
	gzip, zstd form
	size       atomic.Int64
}

// form is one compressed form.
type form struct {
	once  sync.Once
	bytes []byte
}

// New takes the bytes over; nobody may change them from then on.
func New(plain []byte) *Payload {
	p := &Payload{plain: plain}
	p.size.Store(int64(cap(plain)))
	return p
}

// Plain is the content as it is.
func (p *Payload) Plain() []byte { return p.plain }

// Size is the memory that the content and the forms made so far take, in bytes.
func (p *Payload) Size() int64 { return p.size.Load() }

// In is the content in a coding, and the coding that it really is in: what is
// small, or would not shrink, is sent as it is.
func (p *Payload) In(c Coding) ([]byte, Coding) {
	if len(p.plain) <= MinSize {
		return p.plain, Identity
	}
	var compressed []byte
	switch c {
	case Gzip:
		compressed = p.gzip.made(p, withGzip)
	case Zstd:
		compressed = p.zstd.made(p, withZstd)
	}
	if compressed == nil {
		return p.plain, Identity
	}
	return compressed, c
}

func (f *form) made(p *Payload, compress func([]byte) []byte) []byte {
	f.once.Do(func() {
		if made := compress(p.plain); len(made) < len(p.plain) {
			f.bytes = made
			p.size.Add(int64(cap(made)))
		}
	})
	return f.bytes
}

var gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

func withGzip(plain []byte) []byte {
	var out bytes.Buffer
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	w.Reset(&out)
	if _, err := w.Write(plain); err != nil { // a bytes.Buffer never fails
		return nil
	}
	if err := w.Close(); err != nil {
		return nil
	}
	return bytes.Clone(out.Bytes())
}

// zstdEncoder is only ever asked for whole blocks, which is safe for concurrent
// use and keeps no goroutine. The window is what every HTTP client must take
// (RFC 9659).
var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithWindowSize(8<<20))
	if err != nil { // the options are constant, and a test makes one
		panic(err)
	}
	return e
})

// maxUnpacked bounds what a small input can unpack to, in bytes.
const maxUnpacked = 1 << 20

var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderConcurrency(1))
	if err != nil { // the options are constant, and a test makes one
		panic(err)
	}
	return d
})

// Unzstd unpacks what In(Zstd) gave, up to a mebibyte.
func Unzstd(packed []byte) ([]byte, error) { return zstdDecoder().DecodeAll(packed, nil) }

func withZstd(plain []byte) []byte {
	return bytes.Clone(zstdEncoder().EncodeAll(plain, make([]byte, 0, len(plain)/4)))
}
