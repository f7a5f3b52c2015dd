package catalog

import (
	"slices"
	"sync"

	"github.com/klauspost/compress/s2"
)

// archive keeps texts that are much alike: the rows of a list, or what the vendor sent of
// each agent. Where there are many, each is compressed by itself, with a dictionary of what
// they have in common: one is read in a tenth of a microsecond, whichever it is. It is not
// changed after it was made, and safe for concurrent use.
type archive struct {
	bytes  []byte // one behind the other
	ends   []uint32
	common *s2.Dict // nil: they are as they were
	sample int      // the dictionary's size in bytes
}

const (
	// packedFrom is how much there has to be for compressing it, in bytes.
	packedFrom = 32 << 10
	// sampleSize is how large the dictionary is, about, in bytes: one text at least.
	sampleSize = 4 << 10
	// sampleMost is how much of it at most.
	sampleMost = 16 << 10
)

// newArchive keeps copies of n texts.
func newArchive(n int, text func(i int) []byte) archive {
	total := 0
	for i := range n {
		total += len(text(i))
	}
	a := archive{ends: make([]uint32, n)}
	if total < packedFrom {
		a.bytes = make([]byte, 0, total)
		for i := range n {
			a.bytes = append(a.bytes, text(i)...)
			a.ends[i] = uint32(len(a.bytes))
		}
		return a
	}
	sample := sampleOf(n, text)
	encoder := s2.MakeDict(sample, nil)
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	packed, one := (*buffer)[:0], []byte(nil)
	for i := range n {
		if t := text(i); len(t) > 0 {
			one = encoder.Encode(one[:cap(one)], t)
			packed = append(packed, one...)
		}
		a.ends[i] = uint32(len(packed))
	}
	*buffer = packed
	a.bytes = slices.Clone(packed)      // not as large as it grew
	a.common = s2.MakeDict(sample, nil) // without the tables that only the encoder needs
	a.sample = len(sample)
	return a
}

// buffers are for what is not yet known how much it takes.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// sampleOf is what stands for all texts: some, from all over.
func sampleOf(n int, text func(i int) []byte) []byte {
	sample := make([]byte, 0, sampleMost)
	add := func(text []byte) { sample = append(sample, text[:min(len(text), sampleMost-len(sample))]...) }
	const picks = 8
	for pick := 0; pick < picks && len(sample) < sampleSize; pick++ {
		add(text(pick * n / picks))
	}
	for i := 0; len(sample) < s2.MinDictSize; i++ { // those were nearly empty; some are not
		add(text(i))
	}
	return slices.Clone(sample) // and not what it was made in
}

// get is a text; nil if it is empty. It is read into the buffer if it is compressed and the
// buffer is large enough, and is not to be changed if it is not.
func (a archive) get(i int, buffer []byte) []byte {
	kept := a.at(i)
	if len(kept) == 0 || a.common == nil {
		return kept
	}
	plain, err := a.common.Decode(buffer, kept)
	if err != nil { // we have encoded it
		panic(err)
	}
	return plain
}

// at is a text as it is kept; nil if it is empty.
func (a archive) at(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = a.ends[i-1]
	}
	if end := a.ends[i]; start < end {
		return a.bytes[start:end:end]
	}
	return nil
}

// len is a text's length in bytes, without reading it.
func (a archive) len(i int) int {
	kept := a.at(i)
	if len(kept) == 0 || a.common == nil {
		return len(kept)
	}
	n, err := s2.DecodedLen(kept)
	if err != nil { // we have encoded it
		panic(err)
	}
	return n
}

// reader gets one after the other; each is over when the next one is read.
func (a archive) reader() func(i int) []byte {
	var buffer []byte
	return func(i int) []byte {
		text := a.get(i, buffer)
		if a.common != nil && text != nil {
			buffer = text
		}
		return text
	}
}

// size is the memory that it takes, in bytes.
func (a archive) size() int64 {
	return int64(cap(a.bytes) + 4*cap(a.ends) + a.sample)
}
