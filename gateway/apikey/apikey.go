// Package apikey makes and recognises the gateway's own keys:
//
//	agw_live_<32 or more base62><6 of checksum>
//
// The checksum is the CRC-32 (IEEE) of everything before it, in base62
// (0-9A-Za-z), zero-padded; a mistyped key is refused without a look-up. It
// must not know who holds a key or what the key may do.
package apikey

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"slices"
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

// base62 says of each byte whether it is in the alphabet.
var base62 = func() (in [256]bool) {
	for _, c := range []byte(alphabet) {
		in[c] = true
	}
	return in
}()

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
	sum := checksum([]byte(body))
	return body + string(sum[:])
}

func checksum(body []byte) (digits [sumChars]byte) {
	sum := crc32.ChecksumIEEE(body)
	for i := sumChars - 1; i >= 0; i-- {
		digits[i] = alphabet[sum%62]
		sum /= 62
	}
	return digits
}

// text is a key as it is written, or as it arrived.
type text interface{ ~string | ~[]byte }

// Valid reports whether key has the form of one and its checksum fits.
func Valid[K text](key K) bool {
	if len(key) > maxLength {
		return false
	}
	whole := []byte(key)
	rest, live := bytes.CutPrefix(whole, []byte("agw_live_"))
	if !live {
		var test bool
		if rest, test = bytes.CutPrefix(whole, []byte("agw_test_")); !test {
			return false
		}
	}
	if len(rest) < randomChars+sumChars || slices.ContainsFunc(rest, func(c byte) bool { return !base62[c] }) {
		return false
	}
	body, given := whole[:len(whole)-sumChars], whole[len(whole)-sumChars:]
	sum := checksum(body)
	return bytes.Equal(given, sum[:])
}

// Hash is what is stored of a key.
func Hash[K text](key K) [32]byte { return sha256.Sum256([]byte(key)) }

// Last4 is what may be shown of a key later.
func Last4(key string) string { return key[max(0, len(key)-4):] }
