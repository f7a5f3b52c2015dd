// Package klen emulates Klen AI's agent API: GET /agents and nothing else.
//
// Rules and shapes are those of docs.klen.ai ("Get Agents", authentication and
// development guide), read 2026-11. It must not know the adapter.
package klen

import (
	_ "embed"
	"net/http"
	"strings"

	"github.com/agentgw/agentgw/sandbox"
)

// agent is the documented object; every member is always there, phone_number
// and team_id may be null.
type agent struct {
	ID           int64   `json:"id"`
	AssistantID  string  `json:"assistant_id"`
	Name         string  `json:"name"`
	Role         string  `json:"role"`
	PhoneNumber  *string `json:"phone_number"`
	MinutesUsed  float64 `json:"minutes_used"`
	TotalCalls   int64   `json:"total_calls"`
	Model        string  `json:"model"`
	VoiceID      string  `json:"voice_id"`
	CanMakeCalls bool    `json:"can_make_calls"`
	TeamID       *int64  `json:"team_id"`
}

// Emulator is the emulated provider.
type Emulator struct {
	*sandbox.Server
	sandbox.Accounts[agent]
}

var _ sandbox.Emulator = (*Emulator)(nil)

const prefix = "/api/v1"

// New makes an emulator without accounts.
func New() *Emulator {
	e := &Emulator{}
	e.Server = sandbox.NewServer(sandbox.Config{
		Vendor: "klen",
		Prefix: prefix,
		Routes: []sandbox.Route{{Method: http.MethodGet, Pattern: "/agents", Handle: e.list}},
		Key:    key,
		Known:  e.Known,
		Error:  fail,
	})
	return e
}

//go:embed demo.json
var demo []byte

// SeedDemo stores a phone team's agents under the key.
func (e *Emulator) SeedDemo(key string) {
	e.SeedAll(key, demo)
}

// key: the authentication page documents three forms; the gateway should use
// the first.
func key(r *http.Request) string {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return bearer
	}
	return r.Header.Get("X-API-Key")
}

func (e *Emulator) list(c *sandbox.Call) (reply sandbox.Reply) {
	e.With(c.Key, func(stored *[]agent) {
		reply = sandbox.Reply{Status: http.StatusOK, Body: map[string]any{"agents": append([]agent{}, *stored...)}}
	})
	return reply
}

// fail is the documented error object: a machine code under "error".
func fail(status int) sandbox.Reply {
	codes := map[int]string{
		http.StatusBadRequest:          "validation_error",
		http.StatusUnauthorized:        "invalid_key",
		http.StatusForbidden:           "permission_denied",
		http.StatusNotFound:            "not_found",
		http.StatusTooManyRequests:     "rate_limit_exceeded",
		http.StatusInternalServerError: "server_error",
	}
	return sandbox.Reply{Status: status, Body: map[string]string{"error": codes[status], "message": http.StatusText(status)}}
}
