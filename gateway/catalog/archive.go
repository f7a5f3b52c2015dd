package catalog

import (
	"bytes"
	"sort"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/s2"
)

// archive is the vendor's own JSON of each agent. It is seldom asked for, so what is large
// is kept compressed, in blocks: agents of one vendor have much in common.
type archive []block

// block is that of some agents that follow each other.
type block struct {
	first  int   // index of its first agent
	ends   []int // of each agent's, in plain
	bytes  []byte
	packed bool
}

const (
	// blockSize is how large a block is before it is compressed, about, in bytes.
	blockSize = 64 << 10
	// packedFrom is how much there has to be for compressing it, in bytes.
	packedFrom = 64 << 10
)

// newArchive keeps copies.
func newArchive(of []jsontext.Value) archive {
	left := 0
	for _, value := range of {
		left += len(value)
	}
	packed := left >= packedFrom
	var a archive
	for first := 0; first < len(of); {
		b := block{first: first, bytes: make([]byte, 0, min(left, blockSize+len(of[first])))}
		for ; first < len(of) && len(b.bytes) < blockSize; first++ {
			b.bytes = append(b.bytes, of[first]...)
			b.ends = append(b.ends, len(b.bytes))
		}
		left -= len(b.bytes)
		if packed {
			b.bytes, b.packed = bytes.Clone(s2.Encode(nil, b.bytes)), true
		}
		a = append(a, b)
	}
	return a
}

// get is that of the agent at an index; nil for none. What it is given pins nothing more.
func (a archive) get(i int) jsontext.Value {
	r := a.reader()
	if v := r(i); v != nil {
		return v.Clone()
	}
	return nil
}

// reader gets one after the other, and unpacks a block once for those that follow each
// other. What it gives is part of a block.
func (a archive) reader() func(i int) jsontext.Value {
	at, plain := -1, []byte(nil)
	return func(i int) jsontext.Value {
		n := sort.Search(len(a), func(n int) bool { return a[n].first > i }) - 1
		if n != at {
			at, plain = n, a[n].plain()
		}
		return a[n].get(plain, i)
	}
}

func (b block) plain() []byte {
	if !b.packed {
		return b.bytes
	}
	plain, err := s2.Decode(nil, b.bytes)
	if err != nil { // we have encoded it
		panic(err)
	}
	return plain
}

func (b block) get(plain []byte, i int) jsontext.Value {
	start := 0
	if n := i - b.first; n > 0 {
		start = b.ends[n-1]
	}
	end := b.ends[i-b.first]
	if start == end {
		return nil
	}
	return plain[start:end:end]
}

// size is the memory that it takes, in bytes.
func (a archive) size() int64 {
	size := int64(0)
	for _, b := range a {
		size += int64(cap(b.bytes) + 8*cap(b.ends) + 64)
	}
	return size
}
