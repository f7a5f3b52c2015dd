package talkifai

import (
	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/adapters"
)

// failure returns the error that a response stands for; nil for a 2xx. The body is
// {"success": false, "error": text, "code": code}, and a 401 may be without
// the last. No list of codes is published for agents.
func failure(op adapters.Operation, r adapters.Response) error {
	e := adapters.Failure(provider, op, r)
	if e == nil {
		return nil
	}
	var body struct {
		Code string `json:"code"`
	}
	if json.Unmarshal(r.Body, &body) == nil {
		e.Code = adapters.MachineCode(body.Code)
	}
	return e
}
