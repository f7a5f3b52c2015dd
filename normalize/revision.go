package normalize

import (
	"crypto/sha256"
	"encoding/base64"

	"github.com/go-json-experiment/json/jsontext"
)

// Revision is a hash of the agent's configuration: of everything but its usage
// and its timestamps. Two agents that mean the same have the same, whatever the
// order of their members.
func (a *Agent) Revision() (string, error) {
	settled := *a
	settled.Usage = Usage{}
	settled.CreatedAt, settled.UpdatedAt = nil, nil
	// What is the vendor's own JSON may be written in several ways; all else is in one.
	if a.Extensions != nil {
		settled.Extensions = canonical(a.Extensions)
	}
	if a.Model.Temperature != nil {
		temperature := Number(canonical(jsontext.Value(*a.Model.Temperature)))
		settled.Model.Temperature = &temperature
	}
	row, err := settled.Row()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(row))
	return base64.RawURLEncoding.EncodeToString(sum[:18]), nil
}
