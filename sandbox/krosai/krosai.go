// Package krosai emulates KrosAI's agent API: full CRUD with one agent shape.
//
// Rules and shapes are those of krosai.gitbook.io/api, the agents pages, read
// 2026-11. Success codes are not documented: creating answers 201 here, all
// else 200. It must not know the adapter.
package krosai

import (
	_ "embed"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/agentgw/agentgw/sandbox"
)

// agent is the object that every operation answers.
type agent struct {
	ID               string   `json:"id"`
	Name             string   `json:"name"`
	Description      *string  `json:"description"`
	SystemPrompt     *string  `json:"system_prompt"`
	Language         *string  `json:"language"`
	VoiceID          *string  `json:"voice_id"`
	TTSProvider      *string  `json:"tts_provider"`
	STTProvider      *string  `json:"stt_provider"`
	LLMModel         *string  `json:"llm_model"`
	KnowledgeBaseIDs []string `json:"knowledge_base_ids"`
	CreatedAt        string   `json:"created_at"`
	UpdatedAt        string   `json:"updated_at"`
	CreatedBy        string   `json:"created_by"`
}

// body is what a create or update may send.
type body struct {
	Name             *string   `json:"name"`
	Description      *string   `json:"description"`
	SystemPrompt     *string   `json:"system_prompt"`
	Language         *string   `json:"language"`
	VoiceID          *string   `json:"voice_id"`
	TTSProvider      *string   `json:"tts_provider"`
	STTProvider      *string   `json:"stt_provider"`
	LLMModel         *string   `json:"llm_model"`
	KnowledgeBaseIDs *[]string `json:"knowledge_base_ids"`
}

// Emulator is the emulated provider.
type Emulator struct {
	*sandbox.Server
	sandbox.Accounts[agent]
	created atomic.Int64
}

var _ sandbox.Emulator = (*Emulator)(nil)

const prefix = "/v1"

// New makes an emulator without accounts.
func New() *Emulator {
	e := &Emulator{}
	e.Server = sandbox.NewServer(sandbox.Config{
		Vendor: "krosai",
		Prefix: prefix,
		Routes: []sandbox.Route{
			{Method: http.MethodGet, Pattern: "/agents", Handle: e.list},
			{Method: http.MethodPost, Pattern: "/agents", Body: true, Handle: e.create},
			{Method: http.MethodGet, Pattern: "/agents/{id}", Handle: e.get},
			{Method: http.MethodPut, Pattern: "/agents/{id}", Body: true, Handle: e.update},
			{Method: http.MethodDelete, Pattern: "/agents/{id}", Handle: e.remove},
		},
		Key:   key,
		Known: e.Known,
		Error: fail,
	})
	return e
}

//go:embed demo.json
var demo []byte

// SeedDemo stores a multilingual help desk's agents under the key.
func (e *Emulator) SeedDemo(key string) {
	e.SeedAll(key, demo)
}

// key: every agents sample has the Bearer form.
func key(r *http.Request) string {
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return bearer
}

func (e *Emulator) list(c *sandbox.Call) (reply sandbox.Reply) {
	e.With(c.Key, func(stored *[]agent) {
		reply = sandbox.Reply{Status: http.StatusOK, Body: append([]agent{}, *stored...)}
	})
	return reply
}

func (e *Emulator) get(c *sandbox.Call) sandbox.Reply {
	return e.withAgent(c, func(stored *[]agent, i int) sandbox.Reply {
		return sandbox.Reply{Status: http.StatusOK, Body: (*stored)[i]}
	})
}

func (e *Emulator) create(c *sandbox.Call) sandbox.Reply {
	var b body
	if reply, ok := e.Decode(c, &b); !ok {
		return reply
	}
	if b.Name == nil || *b.Name == "" {
		return fail(http.StatusBadRequest)
	}
	now := sandbox.Timestamp()
	a := agent{
		ID:        fmt.Sprintf("00000000-0000-4000-8000-%012d", e.created.Add(1)),
		CreatedAt: now, UpdatedAt: now, CreatedBy: "user-12345",
		KnowledgeBaseIDs: []string{},
		Language:         text("en"),
		TTSProvider:      text("krosaimlingual"),
		STTProvider:      text("krosaimlingual"),
		LLMModel:         text("krosaimlingual"),
	}
	b.apply(&a)
	e.With(c.Key, func(stored *[]agent) { *stored = append(*stored, a) })
	return sandbox.Reply{Status: http.StatusCreated, Body: a}
}

// update keeps what the body leaves out, as the page's sample does, and
// replaces knowledge_base_ids whole.
func (e *Emulator) update(c *sandbox.Call) sandbox.Reply {
	var b body
	if reply, ok := e.Decode(c, &b); !ok {
		return reply
	}
	return e.withAgent(c, func(stored *[]agent, i int) sandbox.Reply {
		b.apply(&(*stored)[i])
		(*stored)[i].UpdatedAt = sandbox.Timestamp()
		return sandbox.Reply{Status: http.StatusOK, Body: (*stored)[i]}
	})
}

func (e *Emulator) remove(c *sandbox.Call) sandbox.Reply {
	return e.withAgent(c, func(stored *[]agent, i int) sandbox.Reply {
		*stored = slices.Delete(*stored, i, i+1)
		return sandbox.Reply{Status: http.StatusOK, Body: map[string]string{"message": "Agent deleted successfully"}}
	})
}

// withAgent answers 404 where the account has no such agent.
func (e *Emulator) withAgent(c *sandbox.Call, do func(stored *[]agent, i int) sandbox.Reply) sandbox.Reply {
	return e.One(c.Key, func(a agent) bool { return a.ID == c.ID }, fail(http.StatusNotFound), do)
}

func (b body) apply(a *agent) {
	set := func(target **string, value *string) {
		if value != nil {
			*target = value
		}
	}
	if b.Name != nil {
		a.Name = *b.Name
	}
	set(&a.Description, b.Description)
	set(&a.SystemPrompt, b.SystemPrompt)
	set(&a.Language, b.Language)
	set(&a.VoiceID, b.VoiceID)
	set(&a.TTSProvider, b.TTSProvider)
	set(&a.STTProvider, b.STTProvider)
	set(&a.LLMModel, b.LLMModel)
	if b.KnowledgeBaseIDs != nil {
		a.KnowledgeBaseIDs = *b.KnowledgeBaseIDs
	}
}

func text(s string) *string { return &s }

// fail: no error body is documented for agents; {"detail"} is what client
// programs read, and the newer site's 429 has a fractional retry_after.
func fail(status int) sandbox.Reply {
	if status == http.StatusTooManyRequests {
		return sandbox.Reply{
			Status: status,
			Header: map[string]string{"Retry-After": "1.5"},
			Body:   map[string]any{"error": "Rate limit exceeded", "code": "RATE_LIMIT_EXCEEDED", "retry_after": 1.5},
		}
	}
	return sandbox.Reply{Status: status, Body: map[string]string{"detail": http.StatusText(status)}}
}
