package gateway

import (
	"crypto/sha256"
	"encoding/binary"
)

// fields are written so that no choice of them makes two lists of fields meet.
type fields []byte

func (f *fields) number(n uint64) { *f = binary.BigEndian.AppendUint64(*f, n) }

func (f *fields) text(s string) {
	f.number(uint64(len(s)))
	*f = append(*f, s...)
}

func (f *fields) texts(list []string) {
	f.number(uint64(len(list)))
	for _, s := range list {
		f.text(s)
	}
}

func (f *fields) flag(b bool) {
	if b {
		*f = append(*f, 1)
	} else {
		*f = append(*f, 0)
	}
}

func (f *fields) sum() [32]byte { return sha256.Sum256(*f) }
