package klen

import (
	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/adapters"
)

// codes are the machine codes of the development guide; the provider writes them
// under "error".
var codes = []string{
	"validation_error", "authentication_required", "invalid_key", "permission_denied",
	"not_found", "rate_limit_exceeded", "server_error",
}

// failure returns the error that a response stands for; nil for a 2xx. The body is
// {"error": code, "message": text}; the text stays here.
func failure(op adapters.Operation, r adapters.Response) error {
	e := adapters.Failure(provider, op, r)
	if e == nil {
		return nil
	}
	var body struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(r.Body, &body) == nil {
		e.Code = adapters.MachineCode(body.Error, codes...)
	}
	return e
}
