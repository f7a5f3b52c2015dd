package migration

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"

	"github.com/agentgw/agentgw/config/secret"
)

// Cipher seals what a migration keeps of its agents (AES-256-GCM, its key by HKDF-SHA256 of
// store.encryption_key). Without a key it keeps it as it is.
type Cipher struct{ aead cipher.AEAD }

// How a document is kept: its first byte.
const (
	formatPlain  = 'p'
	formatSealed = 's'
)

func NewCipher(key secret.String) (Cipher, error) {
	if key.Empty() {
		return Cipher{}, nil
	}
	derived, err := hkdf.Key(sha256.New, []byte(key.Reveal()), nil, "agentgw migration documents", 32)
	if err != nil {
		return Cipher{}, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return Cipher{}, err
	}
	aead, err := cipher.NewGCM(block)
	return Cipher{aead}, err
}

// Seal closes a document so that only the one of that name opens it.
func (v Cipher) Seal(name string, document []byte) []byte {
	if v.aead == nil {
		return append([]byte{formatPlain}, document...)
	}
	sealed := make([]byte, 1+v.aead.NonceSize(), 1+v.aead.NonceSize()+len(document)+v.aead.Overhead())
	sealed[0] = formatSealed
	_, _ = rand.Read(sealed[1:]) // it never fails
	return v.aead.Seal(sealed, sealed[1:], document, []byte(name))
}

var errSealed = errors.New("it was sealed with another store.encryption_key")

func (v Cipher) Open(name string, kept []byte) ([]byte, error) {
	switch {
	case len(kept) > 0 && kept[0] == formatPlain:
		return kept[1:], nil
	case len(kept) == 0 || kept[0] != formatSealed || v.aead == nil || len(kept) < 1+v.aead.NonceSize():
		return nil, errSealed
	}
	document, err := v.aead.Open(nil, kept[1:1+v.aead.NonceSize()], kept[1+v.aead.NonceSize():], []byte(name))
	if err != nil {
		return nil, errSealed
	}
	return document, nil
}
