package migration

import (
	"bytes"
	"slices"
	"testing"

	"github.com/agentgw/agentgw/config/secret"
)

// TestTheStoreHasNoPromptInTheClear: with a key, nothing of an agent can be read in it.
func TestTheStoreHasNoPromptInTheClear(t *testing.T) {
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
		kept := v.Seal("mig_1", document)
		if bytes.Contains(kept, []byte("canary")) == sealed {
			t.Errorf("sealed %v: %q", sealed, kept)
		}
		if opened, err := v.Open("mig_1", kept); err != nil || !slices.Equal(opened, document) {
			t.Errorf("%q, %v", opened, err)
		}
		if _, err := v.Open("mig_2", kept); (err != nil) != sealed {
			t.Errorf("sealed %v: another's: %v", sealed, err)
		}
	}
	one, _ := NewCipher(secret.New("a key of the operator's"))
	other, _ := NewCipher(secret.New("another key of the operator's"))
	none, _ := NewCipher(secret.String{})
	kept := one.Seal("m", []byte("canary"))
	for _, v := range []Cipher{other, none} {
		if _, err := v.Open("m", kept); err == nil {
			t.Error("opened with another key")
		}
	}
	for cut := range kept {
		if _, err := one.Open("m", kept[:cut]); err == nil {
			t.Errorf("opened, cut at %d", cut)
		}
	}
}
