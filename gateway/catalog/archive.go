package catalog

import (
	"slices"
	"sync"

	"github.com/klauspost/compress/s2"
)

// archive stores many similar texts, such as the rows of a list, in one byte slice. It
// bounds the memory of cached lists: from compressThreshold on, each text is compressed
// with a dictionary of what the texts have in common. Each text is compressed by itself, so
// get(i) decodes one text whatever i is.
//
// Invariant: get(i) returns exactly the bytes that newArchive was given for i, and nil for
// an empty text. An archive is immutable and safe for concurrent use.
type archive struct {
	bytes          []byte   // all stored texts, one after the other
	ends           []uint32 // text i is bytes[ends[i-1]:ends[i]]
	dictionary     *s2.Dict // nil if the texts are not compressed
	dictionarySize int      // in bytes
}

const (
	// compressThreshold is the total size in bytes from which texts are compressed.
	compressThreshold = 32 << 10
	// dictionaryTarget is the size in bytes that a dictionary should reach. It contains at
	// least one text.
	dictionaryTarget = 4 << 10
	// dictionaryMax bounds the size of a dictionary in bytes.
	dictionaryMax = 16 << 10
)

// newArchive returns an archive of copies of n texts.
func newArchive(n int, text func(i int) []byte) archive {
	total := 0
	for i := range n {
		total += len(text(i))
	}
	a := archive{ends: make([]uint32, n)}
	if total < compressThreshold {
		a.bytes = make([]byte, 0, total)
		for i := range n {
			a.bytes = append(a.bytes, text(i)...)
			a.ends[i] = uint32(len(a.bytes))
		}
		return a
	}
	sample := sampleTexts(n, text)
	encoder := s2.MakeDict(sample, nil)
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	packed, compressed := (*buffer)[:0], []byte(nil)
	for i := range n {
		if t := text(i); len(t) > 0 {
			compressed = encoder.Encode(compressed[:cap(compressed)], t)
			packed = append(packed, compressed...)
		}
		a.ends[i] = uint32(len(packed))
	}
	*buffer = packed
	a.bytes = slices.Clone(packed)          // exactly as large as needed
	a.dictionary = s2.MakeDict(sample, nil) // a new one has no encoder tables
	a.dictionarySize = len(sample)
	return a
}

// buffers are for results whose size is not known in advance.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// sampleTexts returns a dictionary: the beginning of some texts, spread evenly over all.
func sampleTexts(n int, text func(i int) []byte) []byte {
	sample := make([]byte, 0, dictionaryMax)
	add := func(text []byte) { sample = append(sample, text[:min(len(text), dictionaryMax-len(sample))]...) }
	const picks = 8
	for pick := 0; pick < picks && len(sample) < dictionaryTarget; pick++ {
		add(text(pick * n / picks))
	}
	for i := 0; len(sample) < s2.MinDictSize; i++ { // the picked texts were nearly empty
		add(text(i))
	}
	return slices.Clone(sample) // without the unused capacity
}

// get returns a text, nil if it is empty. A compressed text is decoded into the buffer if
// that is large enough. An uncompressed text is not a copy: the caller must not change it.
func (a archive) get(i int, buffer []byte) []byte {
	stored := a.stored(i)
	if len(stored) == 0 || a.dictionary == nil {
		return stored
	}
	text, err := a.dictionary.Decode(buffer, stored)
	if err != nil { // impossible: newArchive encoded it
		panic(err)
	}
	return text
}

// stored returns a text as it is stored, nil if it is empty.
func (a archive) stored(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = a.ends[i-1]
	}
	if end := a.ends[i]; start < end {
		return a.bytes[start:end:end]
	}
	return nil
}

// len returns a text's length in bytes without decoding it.
func (a archive) len(i int) int {
	stored := a.stored(i)
	if len(stored) == 0 || a.dictionary == nil {
		return len(stored)
	}
	n, err := s2.DecodedLen(stored)
	if err != nil { // impossible: newArchive encoded it
		panic(err)
	}
	return n
}

// reader returns a get that reuses one buffer: each text is valid until the next call.
func (a archive) reader() func(i int) []byte {
	var buffer []byte
	return func(i int) []byte {
		text := a.get(i, buffer)
		if a.dictionary != nil && text != nil {
			buffer = text
		}
		return text
	}
}

// size returns the memory in bytes that the archive takes.
func (a archive) size() int64 {
	return int64(cap(a.bytes) + 4*cap(a.ends) + a.dictionarySize)
}
