package gateway

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
)

// position is where a walk over a list goes on: after this agent.
type position struct {
	Backend string `json:"b"`
	Native  string `json:"n"`
	// List is the hash of what the walk asked for and whose key it is.
	List [32]byte `json:"l"`
}

// cursors seal positions, so that nobody can read or make one.
type cursors struct{ aead cipher.AEAD }

const cursorPrefix = "c1."

// newCursors derives the sealing key of the secret; without one it is random,
// and cursors do not outlive the process.
func newCursors(s secret.String) (*cursors, error) {
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
	return &cursors{aead}, nil
}

func (c *cursors) seal(p position) (string, error) {
	plain, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	return cursorPrefix + base64.RawURLEncoding.EncodeToString(c.aead.Seal(nil, nil, plain, nil)), nil
}

var errCursor = errors.New("not a cursor of ours")

func (c *cursors) open(cursor string) (p position, err error) {
	encoded, ok := strings.CutPrefix(cursor, cursorPrefix)
	if !ok || strings.ContainsAny(encoded, "\r\n") { // base64 would skip them
		return p, errCursor
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return p, errCursor
	}
	plain, err := c.aead.Open(nil, nil, sealed, nil)
	if err != nil || json.Unmarshal(plain, &p) != nil {
		return p, errCursor
	}
	return p, nil
}
