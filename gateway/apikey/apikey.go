// Package apikey generates and validates the gateway's API keys:
//
//	agw_live_<32 or more base62><6 of checksum>
//
// The checksum is the CRC-32 (IEEE) of everything before it, in base62
// (0-9A-Za-z), zero-padded. It lets a mistyped key be rejected without a lookup.
//
// The package imports nothing of this module: it knows neither the owner of a key nor its
// permissions. Begin reading at New and Valid.
package apikey

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"slices"
)

// The environments that a key can name.
const (
	Live = "live"
	Test = "test"
	// Admin is for the operators' listener; Valid does not accept it.
	Admin = "admin"
)

const (
	alphabet    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	randomChars = 32
	sumChars    = 6
	maxLength   = 256
)

// base62 reports for each byte whether it is in the alphabet.
var base62 = func() (in [256]bool) {
	for _, c := range []byte(alphabet) {
		in[c] = true
	}
	return in
}()

// New returns a new random key for the environment, with about 190 bits of entropy.
func New(environment string) string {
	random := make([]byte, 0, randomChars)
	buf := make([]byte, 64)
	for len(random) < randomChars {
		_, _ = rand.Read(buf) // crypto/rand.Read never fails (Go 1.24)
		for _, b := range buf {
			// 248 is the largest multiple of 62 that fits into a byte. Larger bytes
			// are skipped: they would make some characters more likely than others.
			if b < 248 && len(random) < randomChars {
				random = append(random, alphabet[b%62])
			}
		}
	}
	return Seal("agw_" + environment + "_" + string(random))
}

// Seal returns body, a key without its checksum, with the checksum appended.
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

// text is a key as a string or as the bytes of a request header.
type text interface{ ~string | ~[]byte }

// Valid reports whether key is well formed and its checksum matches. It does not tell
// whether the key is known.
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

// Hash returns the SHA-256 of a key. Only hashes are stored.
func Hash[K text](key K) [32]byte { return sha256.Sum256([]byte(key)) }

// Last4 returns the last four characters of a key, which identify it to people.
func Last4(key string) string { return key[max(0, len(key)-4):] }
