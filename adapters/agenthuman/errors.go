package agenthuman

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
)

// failure returns the error that a response stands for; nil for a 2xx. "error" is a text
// or an object that may hold a code; a get's 404 has "success", an update's
// has not.
func failure(op adapters.Operation, r adapters.Response) error {
	e := adapters.Failure(provider, op, r)
	if e == nil {
		return nil
	}
	var body struct {
		Error jsontext.Value `json:"error"`
	}
	var detail struct {
		Code string `json:"code"`
	}
	if json.Unmarshal(r.Body, &body) == nil && body.Error.Kind() == '{' && json.Unmarshal(body.Error, &detail) == nil {
		e.Code = adapters.MachineCode(detail.Code)
	}
	return e
}
