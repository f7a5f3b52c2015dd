// Package apikey makes and recognises the gateway's own keys:
//
//	agw_live_<32 or more base62><6 of checksum>
//
// The checksum is the CRC-32 (IEEE) of everything before it, in base62
// (0-9A-Za-z), zero-padded; a mistyped key is refused without a look-up. It
// must not know who holds a key or what the key may do.
package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"strings"
)

// The environments that a key says it is for.
const (
	Live = "live"
	Test = "test"
)

const (
	alphabet    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	randomChars = 32
	sumChars    = 6
	maxLength   = 256
)

// New is a fresh key with about 190 bits of chance.
func New(environment string) string {
	random := make([]byte, 0, randomChars)
	buf := make([]byte, 64)
	for len(random) < randomChars {
		_, _ = rand.Read(buf) // crypto/rand.Read never fails (Go 1.24)
		for _, b := range buf {
			// 248 is the largest multiple of 62 in a byte: what is above would
			// make some characters likelier than others.
			if b < 248 && len(random) < randomChars {
				random = append(random, alphabet[b%62])
			}
		}
	}
	return Seal("agw_" + environment + "_" + string(random))
}

// Seal appends the checksum of a key's other characters.
func Seal(body string) string {
	sum := checksum(body)
	return body + string(sum[:])
}

func checksum(body string) (digits [sumChars]byte) {
	sum := crc32.ChecksumIEEE([]byte(body))
	for i := sumChars - 1; i >= 0; i-- {
		digits[i] = alphabet[sum%62]
		sum /= 62
	}
	return digits
}

// Valid reports whether key has the form of one and its checksum fits.
func Valid(key string) bool {
	if len(key) > maxLength {
		return false
	}
	rest, live := strings.CutPrefix(key, "agw_live_")
	if !live {
		var test bool
		if rest, test = strings.CutPrefix(key, "agw_test_"); !test {
			return false
		}
	}
	if len(rest) < randomChars+sumChars || strings.Trim(rest, alphabet) != "" {
		return false
	}
	body, sum := key[:len(key)-sumChars], checksum(key[:len(key)-sumChars])
	return key[len(body):] == string(sum[:])
}

// Hash is what is stored of a key.
func Hash(key string) [32]byte { return sha256.Sum256([]byte(key)) }

// Last4 is what may be shown of a key later.
func Last4(key string) string { return key[max(0, len(key)-4):] }
