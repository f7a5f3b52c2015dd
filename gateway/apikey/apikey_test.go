package apikey

import (
	"hash/crc32"
	"regexp"
	"strings"
	"testing"
)

func TestNew_ReturnsValidUniqueKeys(t *testing.T) {
	form := regexp.MustCompile(`^agw_(live|test)_[0-9A-Za-z]{38}$`)
	seen := map[string]bool{}
	for range 200 {
		for _, environment := range []string{Live, Test} {
			key := New(environment)
			if !form.MatchString(key) || !Valid(key) || seen[key] {
				t.Fatalf("%q", key)
			}
			seen[key] = true
		}
	}
}

// TestSeal_Checksum computes the checksum independently, from its definition in the
// package comment.
func TestSeal_Checksum(t *testing.T) {
	body := "agw_live_" + strings.Repeat("a", 32)
	sum, digits := crc32.ChecksumIEEE([]byte(body)), ""
	for range 6 {
		digits = string("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[sum%62]) + digits
		sum /= 62
	}
	if got := Seal(body); got != body+digits {
		t.Errorf("got %s, want %s", got, body+digits)
	}
}

func TestValid_RejectsMalformedKeys(t *testing.T) {
	good := New(Live)
	flipped := []byte(good)
	flipped[20] ^= 1
	for _, key := range []string{
		"", "agw_live_", good[:len(good)-1], good + "x", string(flipped), strings.Replace(good, "live", "prod", 1),
		Seal("agw_live_" + strings.Repeat("a", 31)), Seal("agw_live_" + strings.Repeat("a", 31) + "-"), Seal("agw_live_" + strings.Repeat("a", 300)),
	} {
		if Valid(key) {
			t.Errorf("%q is accepted", key)
		}
	}
	if longer := Seal("agw_test_" + strings.Repeat("a", 64)); !Valid(longer) {
		t.Errorf("%q is rejected", longer)
	}
}

func TestLast4(t *testing.T) {
	if Last4("abcdefgh") != "efgh" || Last4("ab") != "ab" {
		t.Error("not the last four characters")
	}
}
