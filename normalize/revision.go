package normalize

import (
	"crypto/sha256"
	"encoding/base64"
)

// Revision is a hash of the agent's configuration: of everything but its usage
// and its timestamps. Two agents that mean the same have the same, whatever the
// order of their members.
func (a *Agent) Revision() (string, error) {
	settled := *a
	settled.Usage = Usage{}
	settled.CreatedAt, settled.UpdatedAt = nil, nil
	row, err := settled.Row()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(canonical([]byte(row)))
	return base64.RawURLEncoding.EncodeToString(sum[:18]), nil
}
