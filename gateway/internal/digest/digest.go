// Package digest encodes lists of values for hashing, so that no two different lists have
// the same encoding.
package digest

import (
	"crypto/sha256"
	"encoding/binary"
)

// Fields is the encoding of a list of values. Each method appends a value and returns the
// longer list, as append does. Texts are preceded by their length, so that the border
// between two of them cannot move.
type Fields []byte

// Number appends n.
func (f Fields) Number(n uint64) Fields { return binary.BigEndian.AppendUint64(f, n) }

// Text appends s with its length.
func (f Fields) Text(s string) Fields { return append(f.Number(uint64(len(s))), s...) }

// Texts appends the number of texts and each text.
func (f Fields) Texts(list []string) Fields {
	f = f.Number(uint64(len(list)))
	for _, s := range list {
		f = f.Text(s)
	}
	return f
}

// Flag appends b.
func (f Fields) Flag(b bool) Fields {
	if b {
		return append(f, 1)
	}
	return append(f, 0)
}

// Sum returns the SHA-256 of the list.
func (f Fields) Sum() [32]byte { return sha256.Sum256(f) }
