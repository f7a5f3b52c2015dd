package normalize

import (
	"crypto/sha256"
	"encoding/base64"

	"github.com/go-json-experiment/json/jsontext"
)

// Revision returns a hash of the agent's configuration: everything except usage and
// timestamps. It does not depend on the order of members or the spelling of numbers.
func (a *Agent) Revision() (string, error) {
	configuration := *a
	configuration.Usage = Usage{}
	configuration.CreatedAt, configuration.UpdatedAt = nil, nil
	// Equal values of the provider's own JSON can be spelled differently.
	if a.Extensions != nil {
		configuration.Extensions = canonical(a.Extensions)
	}
	if a.Model.Temperature != nil {
		temperature := Number(canonical(jsontext.Value(*a.Model.Temperature)))
		configuration.Model.Temperature = &temperature
	}
	row, err := configuration.Row()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(row))
	return base64.RawURLEncoding.EncodeToString(sum[:18]), nil
}
