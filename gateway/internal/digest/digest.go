// Package digest hashes lists of fields so that no two different lists give the same input.
package digest

import (
	"crypto/sha256"
	"encoding/binary"
)

// Fields are written so that no choice of them makes two lists of fields meet. Each is
// appended, so that a list on the stack stays there.
type Fields []byte

func (f Fields) Number(n uint64) Fields { return binary.BigEndian.AppendUint64(f, n) }

func (f Fields) Text(s string) Fields { return append(f.Number(uint64(len(s))), s...) }

func (f Fields) Texts(list []string) Fields {
	f = f.Number(uint64(len(list)))
	for _, s := range list {
		f = f.Text(s)
	}
	return f
}

func (f Fields) Flag(b bool) Fields {
	if b {
		return append(f, 1)
	}
	return append(f, 0)
}

func (f Fields) Sum() [32]byte { return sha256.Sum256(f) }
