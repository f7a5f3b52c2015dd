package gateway

import (
	"crypto/sha256"
	"encoding/binary"
)

// fields are written so that no choice of them makes two lists of fields meet. Each is
// appended, so that a list on the stack stays there.
type fields []byte

func (f fields) number(n uint64) fields { return binary.BigEndian.AppendUint64(f, n) }

func (f fields) text(s string) fields { return append(f.number(uint64(len(s))), s...) }

func (f fields) texts(list []string) fields {
	f = f.number(uint64(len(list)))
	for _, s := range list {
		f = f.text(s)
	}
	return f
}

func (f fields) flag(b bool) fields {
	if b {
		return append(f, 1)
	}
	return append(f, 0)
}

func (f fields) sum() [32]byte { return sha256.Sum256(f) }
