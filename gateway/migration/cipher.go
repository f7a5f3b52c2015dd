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

// Cipher encrypts the documents of migrations with AES-256-GCM. Its key is derived from
// store.encryption_key with HKDF-SHA256. The zero Cipher stores documents unencrypted. It is
// safe for concurrent use.
type Cipher struct{ aead cipher.AEAD }

// The first byte of a stored document.
const (
	formatPlain  = 'p'
	formatSealed = 's'
)

// NewCipher returns a Cipher for a value of store.encryption_key, which may be empty.
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

// Seal encrypts a document. Open needs the same name.
func (c Cipher) Seal(name string, document []byte) []byte {
	if c.aead == nil {
		return append([]byte{formatPlain}, document...)
	}
	sealed := make([]byte, 1+c.aead.NonceSize(), 1+c.aead.NonceSize()+len(document)+c.aead.Overhead())
	sealed[0] = formatSealed
	_, _ = rand.Read(sealed[1:]) // crypto/rand.Read never returns an error
	return c.aead.Seal(sealed, sealed[1:], document, []byte(name))
}

var errOtherKey = errors.New("encrypted with another store.encryption_key")

// Open decrypts a document that Seal returned. It fails if the key or the name differs, or
// the document was altered.
func (c Cipher) Open(name string, stored []byte) ([]byte, error) {
	switch {
	case len(stored) > 0 && stored[0] == formatPlain:
		return stored[1:], nil
	case len(stored) == 0 || stored[0] != formatSealed || c.aead == nil || len(stored) < 1+c.aead.NonceSize():
		return nil, errOtherKey
	}
	document, err := c.aead.Open(nil, stored[1:1+c.aead.NonceSize()], stored[1+c.aead.NonceSize():], []byte(name))
	if err != nil {
		return nil, errOtherKey
	}
	return document, nil
}
