package catalog

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/gateway/payload"
)

// Sealer seals walks into cursors, so that nobody can read or make one. It is
// safe for concurrent use.
type Sealer struct {
	aead cipher.AEAD
	// ID tells it from sealers of other secrets.
	ID [8]byte
}

const (
	cursorPrefix = "c1."
	packedPrefix = "c1.z." // compressed
)

// NewSealer derives the sealing key of the secret; without one it is random,
// and cursors do not outlive the process.
func NewSealer(s secret.String) (*Sealer, error) {
	seed := []byte(s.Reveal())
	if len(seed) == 0 {
		seed = make([]byte, 32)
		_, _ = rand.Read(seed) // never fails (Go 1.24)
	}
	key, err := hkdf.Key(sha256.New, seed, nil, "agentgw cursor v1", 32)
	if err != nil {
		return nil, fmt.Errorf("cursor secret: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("cursor secret: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("cursor secret: %w", err)
	}
	sum := sha256.Sum256(append([]byte("agentgw sealer id"), key...))
	return &Sealer{aead: aead, ID: [8]byte(sum[:])}, nil
}

// Seal makes the cursor of a walk: opaque, and safe in a URL.
func (s *Sealer) Seal(w Walk) (string, error) {
	plain, err := json.Marshal(w)
	if err != nil {
		return "", err
	}
	// Places and hashes of many backends repeat each other.
	if packed, coding := payload.New(plain).In(payload.Zstd); coding == payload.Zstd {
		return s.seal(packedPrefix, packed), nil
	}
	return s.seal(cursorPrefix, plain), nil
}

// seal binds the bytes to the prefix, which says how to read them.
func (s *Sealer) seal(prefix string, plain []byte) string {
	return prefix + base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, []byte(prefix)))
}

var errCursor = errors.New("not a cursor of ours")

// Open reads a cursor that this sealer, or one of the same secret, made.
func (s *Sealer) Open(cursor string) (w Walk, err error) {
	prefix := cursorPrefix
	if strings.HasPrefix(cursor, packedPrefix) {
		prefix = packedPrefix
	}
	encoded, ok := strings.CutPrefix(cursor, prefix)
	if !ok || strings.ContainsAny(encoded, "\r\n") { // base64 would skip them
		return w, errCursor
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return w, errCursor
	}
	plain, err := s.aead.Open(nil, nil, sealed, []byte(prefix))
	if err == nil && prefix == packedPrefix {
		plain, err = payload.Unzstd(plain)
	}
	if err != nil || json.Unmarshal(plain, &w) != nil {
		return w, errCursor
	}
	return w, nil
}
