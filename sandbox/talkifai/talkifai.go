// Package talkifai emulates TalkifAI's agent API as its agents page describes
// it: a paged list of summaries, stubs from create, PATCH.
//
// Rules and shapes are those of docs.talkifai.dev, the agents page and the
// introduction; the limits of values are from the update endpoint page's
// table. Read 2026-11. It must not know the adapter.
package talkifai

import (
	_ "embed"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/agentgw/agentgw/sandbox"
)

// agent is what a get shows.
type agent struct {
	ID                     string   `json:"id"`
	Name                   string   `json:"name"`
	AgentArchitecture      string   `json:"agentArchitecture"`
	Model                  *string  `json:"model,omitempty"`            // pipeline, text
	STT                    *string  `json:"stt,omitempty"`              // pipeline
	TTS                    *string  `json:"tts,omitempty"`              // pipeline
	RealtimeProvider       *string  `json:"realtimeProvider,omitempty"` // realtime
	VoiceID                *string  `json:"voiceId,omitempty"`          // pipeline, realtime
	SystemPrompt           string   `json:"systemPrompt"`
	Language               *string  `json:"language"`
	Mode                   string   `json:"mode"`
	Active                 bool     `json:"active"`
	Temperature            *float64 `json:"temperature"`
	EnabledFunctions       []string `json:"enabledFunctions"`
	EnabledCustomFunctions []string `json:"enabledCustomFunctions"`
	GreetingType           *string  `json:"greetingType,omitempty"`
	LastMessage            *string  `json:"lastMessage,omitempty"`
	InactivityTimeout      *int     `json:"inactivityTimeout,omitempty"`
	FunctionCallingEnabled *bool    `json:"functionCallingEnabled,omitempty"`
	CreatedAt              string   `json:"createdAt"`
	UpdatedAt              string   `json:"updatedAt"`
}

// item is an agent in the list: six members and nothing else.
type item struct {
	ID                string `json:"id"`
	Name              string `json:"name"`
	Mode              string `json:"mode"`
	AgentArchitecture string `json:"agentArchitecture"`
	Active            bool   `json:"active"`
	CreatedAt         string `json:"createdAt"`
}

// stub is what a create answers of the agent.
type stub struct {
	ID                string `json:"id"`
	Name              string `json:"name"`
	AgentArchitecture string `json:"agentArchitecture"`
	Active            bool   `json:"active"`
	CreatedAt         string `json:"createdAt"`
}

type body struct {
	Name                   *string   `json:"name"`
	AgentArchitecture      *string   `json:"agentArchitecture"`
	Model                  *string   `json:"model"`
	STT                    *string   `json:"stt"`
	TTS                    *string   `json:"tts"`
	RealtimeProvider       *string   `json:"realtimeProvider"`
	VoiceID                *string   `json:"voiceId"`
	SystemPrompt           *string   `json:"systemPrompt"`
	Language               *string   `json:"language"`
	Mode                   *string   `json:"mode"`
	Active                 *bool     `json:"active"`
	Temperature            *float64  `json:"temperature"`
	EnabledFunctions       *[]string `json:"enabledFunctions"`
	EnabledCustomFunctions *[]string `json:"enabledCustomFunctions"`
	GreetingType           *string   `json:"greetingType"`
	LastMessage            *string   `json:"lastMessage"`
	InactivityTimeout      *int      `json:"inactivityTimeout"`
	FunctionCallingEnabled *bool     `json:"functionCallingEnabled"`
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
		Vendor: "talkifai",
		Prefix: prefix,
		Routes: []sandbox.Route{
			{Method: http.MethodGet, Pattern: "/agents", Query: []string{"mode", "page", "limit"}, Handle: e.list},
			{Method: http.MethodPost, Pattern: "/agents", Body: true, Handle: e.create},
			{Method: http.MethodGet, Pattern: "/agents/{id}", Handle: e.get},
			{Method: http.MethodPatch, Pattern: "/agents/{id}", Body: true, Handle: e.update},
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

// SeedDemo stores agents of all three architectures under the key.
func (e *Emulator) SeedDemo(key string) {
	e.SeedAll(key, demo)
}

// key: the introduction has the Bearer form, the generated endpoint pages
// x-api-key.
func key(r *http.Request) string {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return bearer
	}
	return r.Header.Get("x-api-key")
}

// list has 20 to a page unless asked, 100 at most; what is above that is not
// documented.
func (e *Emulator) list(c *sandbox.Call) sandbox.Reply {
	page, ok := number(c.Query.Get("page"), 1)
	if !ok {
		return fail(http.StatusBadRequest)
	}
	limit, ok := number(c.Query.Get("limit"), 20)
	if !ok {
		return fail(http.StatusBadRequest)
	}
	if limit > 100 {
		return e.Violate("limit=%d: above 100 is not documented", limit)
	}
	var all []agent
	e.With(c.Key, func(stored *[]agent) { all = slices.Clone(*stored) })
	if mode := c.Query.Get("mode"); mode != "" {
		all = slices.DeleteFunc(all, func(a agent) bool { return a.Mode != mode })
	}
	first := min((page-1)*limit, len(all))
	last := min(first+limit, len(all))
	items := []item{}
	for _, a := range all[first:last] {
		items = append(items, item{ID: a.ID, Name: a.Name, Mode: a.Mode, AgentArchitecture: a.AgentArchitecture, Active: a.Active, CreatedAt: a.CreatedAt})
	}
	return sandbox.Reply{Status: http.StatusOK, Body: map[string]any{
		"success":    true,
		"data":       items,
		"pagination": map[string]any{"page": page, "limit": limit, "total": len(all), "hasNext": last < len(all), "hasPrev": page > 1},
	}}
}

func number(text string, otherwise int) (int, bool) {
	if text == "" {
		return otherwise, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 1
}

func (e *Emulator) get(c *sandbox.Call) sandbox.Reply {
	return e.withAgent(c, func(stored *[]agent, i int) sandbox.Reply { return success((*stored)[i]) })
}

func (e *Emulator) create(c *sandbox.Call) sandbox.Reply {
	var b body
	if reply, ok := e.Decode(c, &b); !ok {
		return reply
	}
	if !b.complete() || !b.valid() {
		return fail(http.StatusBadRequest)
	}
	now := sandbox.Timestamp()
	a := agent{
		ID:   fmt.Sprintf("agent_new%d", e.created.Add(1)),
		Mode: "private", EnabledFunctions: []string{}, EnabledCustomFunctions: []string{},
		CreatedAt: now, UpdatedAt: now,
	}
	b.apply(&a)
	a.Active = false // a fresh agent is inactive
	e.With(c.Key, func(stored *[]agent) { *stored = append(*stored, a) })
	reply := success(stub{ID: a.ID, Name: a.Name, AgentArchitecture: a.AgentArchitecture, Active: a.Active, CreatedAt: a.CreatedAt})
	reply.Status = http.StatusCreated
	return reply
}

// update is partial; the architecture is fixed after creation.
func (e *Emulator) update(c *sandbox.Call) sandbox.Reply {
	var b body
	if reply, ok := e.Decode(c, &b); !ok {
		return reply
	}
	if b.AgentArchitecture != nil {
		return e.Violate("agentArchitecture cannot be updated")
	}
	if !b.valid() {
		return fail(http.StatusBadRequest)
	}
	return e.withAgent(c, func(stored *[]agent, i int) sandbox.Reply {
		b.apply(&(*stored)[i])
		(*stored)[i].UpdatedAt = sandbox.Timestamp()
		return success((*stored)[i])
	})
}

func (e *Emulator) remove(c *sandbox.Call) sandbox.Reply {
	return e.withAgent(c, func(stored *[]agent, i int) sandbox.Reply {
		*stored = slices.Delete(*stored, i, i+1)
		return success(map[string]string{"message": "Agent deleted successfully"})
	})
}

// withAgent answers 404 where the account has no such agent.
func (e *Emulator) withAgent(c *sandbox.Call, do func(stored *[]agent, i int) sandbox.Reply) sandbox.Reply {
	return e.One(c.Key, func(a agent) bool { return a.ID == c.ID }, fail(http.StatusNotFound), do)
}

// complete holds a create against the table of required fields.
func (b body) complete() bool {
	if b.Name == nil || b.AgentArchitecture == nil || b.SystemPrompt == nil {
		return false
	}
	switch *b.AgentArchitecture {
	case "pipeline":
		return b.Model != nil && b.STT != nil && b.TTS != nil
	case "realtime":
		return b.RealtimeProvider != nil
	case "text":
		return b.Model != nil
	}
	return false
}

// valid holds the values against the table of limits.
func (b body) valid() bool {
	switch {
	case b.Name != nil && (len([]rune(*b.Name)) < 2 || len([]rune(*b.Name)) > 50),
		b.SystemPrompt != nil && len([]rune(*b.SystemPrompt)) > 5000,
		b.Temperature != nil && (*b.Temperature < 0.1 || *b.Temperature > 1),
		b.Mode != nil && !slices.Contains([]string{"public", "private", "commercial"}, *b.Mode),
		b.LastMessage != nil && len([]rune(*b.LastMessage)) > 100,
		b.InactivityTimeout != nil && (*b.InactivityTimeout < 10 || *b.InactivityTimeout > 60),
		b.GreetingType != nil && *b.GreetingType != "agentFirst" && *b.GreetingType != "userFirst",
		b.RealtimeProvider != nil && *b.RealtimeProvider != "openai" && *b.RealtimeProvider != "gemini":
		return false
	}
	return true
}

func (b body) apply(a *agent) {
	replace(&a.Name, b.Name)
	replace(&a.AgentArchitecture, b.AgentArchitecture)
	replace(&a.SystemPrompt, b.SystemPrompt)
	replace(&a.Mode, b.Mode)
	replace(&a.Active, b.Active)
	replace(&a.EnabledFunctions, b.EnabledFunctions)
	replace(&a.EnabledCustomFunctions, b.EnabledCustomFunctions)
	keep(&a.Model, b.Model)
	keep(&a.STT, b.STT)
	keep(&a.TTS, b.TTS)
	keep(&a.RealtimeProvider, b.RealtimeProvider)
	keep(&a.VoiceID, b.VoiceID)
	keep(&a.Language, b.Language)
	keep(&a.Temperature, b.Temperature)
	keep(&a.GreetingType, b.GreetingType)
	keep(&a.LastMessage, b.LastMessage)
	keep(&a.InactivityTimeout, b.InactivityTimeout)
	keep(&a.FunctionCallingEnabled, b.FunctionCallingEnabled)
}

func replace[T any](target *T, value *T) {
	if value != nil {
		*target = *value
	}
}

func keep[T any](target **T, value *T) {
	if value != nil {
		*target = value
	}
}

func success(data any) sandbox.Reply {
	return sandbox.Reply{Status: http.StatusOK, Body: map[string]any{"success": true, "data": data}}
}

// fail is the introduction's error object. No list of codes is published for
// agents; these are made up in its form.
func fail(status int) sandbox.Reply {
	codes := map[int]string{
		http.StatusBadRequest:          "BAD_REQUEST",
		http.StatusUnauthorized:        "UNAUTHORIZED",
		http.StatusForbidden:           "FORBIDDEN",
		http.StatusNotFound:            "NOT_FOUND",
		http.StatusTooManyRequests:     "RATE_LIMITED",
		http.StatusInternalServerError: "INTERNAL_ERROR",
	}
	return sandbox.Reply{Status: status, Body: map[string]any{"success": false, "error": http.StatusText(status), "code": codes[status]}}
}
