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

// Sealer encrypts cursors into opaque tokens, which clients can neither read nor forge. It
// is safe for concurrent use.
type Sealer struct {
	aead cipher.AEAD
	// ID differs between sealers of different secrets.
	ID [8]byte
}

const (
	tokenPrefix      = "c1."
	compressedPrefix = "c1.z."
)

// NewSealer derives the key from a secret. Without one the key is random, and tokens are
// valid until the process ends.
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

// Seal returns the token of a cursor. It needs no escaping in a URL.
func (s *Sealer) Seal(c Cursor) (token string, err error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	// Positions of many backends are similar and compress well.
	if compressed, coding := payload.New(plain).In(payload.Zstd); coding == payload.Zstd {
		return s.seal(compressedPrefix, compressed), nil
	}
	return s.seal(tokenPrefix, plain), nil
}

// seal authenticates the prefix along with the bytes: it says whether they are compressed.
func (s *Sealer) seal(prefix string, plain []byte) string {
	return prefix + base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, []byte(prefix)))
}

var errInvalidToken = errors.New("invalid cursor: not issued by this gateway, or its cursor secret has changed")

// Open returns the cursor of a token that a sealer of the same secret issued.
func (s *Sealer) Open(token string) (c Cursor, err error) {
	prefix := tokenPrefix
	if strings.HasPrefix(token, compressedPrefix) {
		prefix = compressedPrefix
	}
	encoded, ok := strings.CutPrefix(token, prefix)
	if !ok || strings.ContainsAny(encoded, "\r\n") { // base64 ignores them
		return c, errInvalidToken
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return c, errInvalidToken
	}
	plain, err := s.aead.Open(nil, nil, sealed, []byte(prefix))
	if err == nil && prefix == compressedPrefix {
		plain, err = payload.Unzstd(plain)
	}
	if err != nil || json.Unmarshal(plain, &c) != nil {
		return c, errInvalidToken
	}
	return c, nil
}
