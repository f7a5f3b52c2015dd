package migration

import (
	"bytes"
	"slices"
	"testing"

	"github.com/agentgw/agentgw/config/secret"
)

// TestCipher: with a key, stored documents do not contain the plain text, and only the same key and
// name decrypt them.
func TestCipher(t *testing.T) {
	for _, sealed := range []bool{true, false} {
		key := secret.String{}
		if sealed {
			key = secret.New("a key of the operator's")
		}
		v, err := NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		document := []byte(`{"system_prompt": "canary"}`)
		stored := v.Seal("mig_1", document)
		if bytes.Contains(stored, []byte("canary")) == sealed {
			t.Errorf("sealed %v: %q", sealed, stored)
		}
		if opened, err := v.Open("mig_1", stored); err != nil || !slices.Equal(opened, document) {
			t.Errorf("%q, %v", opened, err)
		}
		if _, err := v.Open("mig_2", stored); (err != nil) != sealed {
			t.Errorf("sealed %v: another name: %v", sealed, err)
		}
	}
	one, _ := NewCipher(secret.New("a key of the operator's"))
	other, _ := NewCipher(secret.New("another key of the operator's"))
	none, _ := NewCipher(secret.String{})
	stored := one.Seal("m", []byte("canary"))
	for _, v := range []Cipher{other, none} {
		if _, err := v.Open("m", stored); err == nil {
			t.Error("opened with another key")
		}
	}
	for cut := range stored {
		if _, err := one.Open("m", stored[:cut]); err == nil {
			t.Errorf("opened, cut at %d", cut)
		}
	}
}
