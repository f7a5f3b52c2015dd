// Package payload holds encoded response bodies. Each body is compressed at most once
// per content coding, when that coding is first requested.
//
// It imports nothing of this module: it knows neither the content of a body nor the
// request that it answers. Begin reading at EncodedBody.
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

// The supported codings.
const (
	Identity Coding = "identity"
	Gzip     Coding = "gzip" // RFC 1952
	Zstd     Coding = "zstd" // RFC 8878
)

// Codings returns the compressing codings in order of preference.
func Codings() []Coding { return codings[:] }

var codings = [...]Coding{Zstd, Gzip}

// MinSize is the size in bytes up to which a body is never compressed.
const MinSize = 1 << 10

// EncodedBody is an immutable response body with its compressed forms. It is safe for
// concurrent use.
type EncodedBody struct {
	plain      []byte
	gzip, zstd compressedBody
	size       atomic.Int64
}

// compressedBody is the body in one coding, compressed on first use. Its bytes are nil if
// compression does not make the body smaller.
type compressedBody struct {
	once  sync.Once
	bytes []byte
}

// New returns a body that owns plain: the caller must not change it afterwards.
func New(plain []byte) *EncodedBody {
	p := &EncodedBody{plain: plain}
	p.size.Store(int64(cap(plain)))
	return p
}

// Plain returns the uncompressed body. The caller must not change it.
func (p *EncodedBody) Plain() []byte { return p.plain }

// Size returns the memory in bytes that the body and the forms compressed so far take.
func (p *EncodedBody) Size() int64 { return p.size.Load() }

// In returns the body in coding c and the coding actually used. That is Identity for a
// body of at most MinSize bytes and for one that compression does not make smaller.
func (p *EncodedBody) In(c Coding) ([]byte, Coding) {
	if len(p.plain) <= MinSize {
		return p.plain, Identity
	}
	var compressed []byte
	switch c {
	case Gzip:
		compressed = p.gzip.get(p, compressGzip)
	case Zstd:
		compressed = p.zstd.get(p, compressZstd)
	}
	if compressed == nil {
		return p.plain, Identity
	}
	return compressed, c
}

func (f *compressedBody) get(p *EncodedBody, compress func([]byte) []byte) []byte {
	f.once.Do(func() {
		if compressed := compress(p.plain); len(compressed) < len(p.plain) {
			f.bytes = compressed
			p.size.Add(int64(cap(compressed)))
		}
	})
	return f.bytes
}

var gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

func compressGzip(plain []byte) []byte {
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

// zstdEncoder is used for EncodeAll only, which is safe for concurrent use and leaves no
// goroutine behind. Its window is the largest that HTTP clients must accept (RFC 9659).
var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithWindowSize(8<<20))
	if err != nil { // unreachable: the options are constant
		panic(err)
	}
	return e
})

// maxUnpacked bounds the decompressed size in bytes, as a protection against
// decompression bombs.
const maxUnpacked = 1 << 20

var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderConcurrency(1))
	if err != nil { // unreachable: the options are constant
		panic(err)
	}
	return d
})

// Unzstd decompresses the result of In(Zstd). A result over 1 MiB is an error.
func Unzstd(packed []byte) ([]byte, error) { return zstdDecoder().DecodeAll(packed, nil) }

func compressZstd(plain []byte) []byte {
	return bytes.Clone(zstdEncoder().EncodeAll(plain, make([]byte, 0, len(plain)/4)))
}
