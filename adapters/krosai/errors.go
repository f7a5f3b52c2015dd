package krosai

import (
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/adapters"
)

// failure returns the error that a response stands for; nil for a 2xx. Bodies are not
// documented for agents; the provider's newer site has {"error", "code",
// "retry_after"}, the last in seconds and fractional. Whatever the shape, the
// status decides.
func failure(op adapters.Operation, r adapters.Response) error {
	e := adapters.Failure(provider, op, r)
	if e == nil {
		return nil
	}
	var code struct {
		Code string `json:"code"`
	}
	if json.Unmarshal(r.Body, &code) == nil {
		e.Code = adapters.MachineCode(code.Code)
	}
	var wait struct {
		RetryAfter float64 `json:"retry_after"`
	}
	if e.RetryAfter == 0 && r.Status == http.StatusTooManyRequests && json.Unmarshal(r.Body, &wait) == nil {
		e.RetryAfter = adapters.Seconds(wait.RetryAfter)
	}
	return e
}
