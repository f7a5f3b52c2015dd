// Package agenthuman emulates AgentHuman's agent API, the generation with
// integer ids.
//
// Rules and shapes are those of docs.agenthuman.com, the agents pages, read
// 2026-11; DELETE is the newer generation's page. It must not know the
// adapter.
package agenthuman

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/agentgw/agentgw/sandbox"
)

// stored is an agent with everything that one of its shapes shows; a seed is
// written so.
type stored struct {
	ID             int64           `json:"id"`
	UserID         int64           `json:"user_id"`
	Name           string          `json:"name"`
	AvatarID       *int64          `json:"avatar_id"`
	AvatarName     *string         `json:"avatar_name"`
	AvatarURL      *string         `json:"avatar_url"`
	AvatarVoiceID  *string         `json:"avatar_voice_id"` // the list's voice_id
	VoiceID        *int64          `json:"voice_id"`        // the get's voice_id
	RoleID         *int64          `json:"role_id"`
	Language       string          `json:"language"`
	CustomGreeting *string         `json:"custom_greeting"`
	Context        *string         `json:"context"`
	Properties     json.RawMessage `json:"properties"`
	Memories       json.RawMessage `json:"memories"`
	KnowledgeBase  json.RawMessage `json:"knowledge_base"`
	Status         string          `json:"status"`
	CreatedAt      string          `json:"created_at"`
	UpdatedAt      string          `json:"updated_at"`
	LastUsedAt     *string         `json:"last_used_at"`
	TotalSessions  int64           `json:"total_sessions"`
	AvgDuration    float64         `json:"avg_duration"`
}

// row is an agent in the list: its id is called agent_id, its voice_id is the
// avatar's.
type row struct {
	AgentID        int64   `json:"agent_id"`
	Name           string  `json:"name"`
	AvatarID       *int64  `json:"avatar_id"`
	Language       string  `json:"language"`
	CustomGreeting *string `json:"custom_greeting"`
	Context        *string `json:"context"`
	Status         string  `json:"status"`
	CreatedAt      string  `json:"created_at"`
	UpdatedAt      string  `json:"updated_at"`
	LastUsedAt     *string `json:"last_used_at"`
	TotalSessions  int64   `json:"total_sessions"`
	AvgDuration    float64 `json:"avg_duration"`
	AvatarName     *string `json:"avatar_name"`
	AvatarURL      *string `json:"avatar_url"`
	VoiceID        *string `json:"voice_id"`
}

// detail is a get's answer, bare: its id is called id, its voice_id is an
// integer, and the avatar's name and picture are missing.
type detail struct {
	ID             int64           `json:"id"`
	UserID         int64           `json:"user_id"`
	Name           string          `json:"name"`
	AvatarID       *int64          `json:"avatar_id"`
	VoiceID        *int64          `json:"voice_id"`
	RoleID         *int64          `json:"role_id"`
	Language       string          `json:"language"`
	CustomGreeting *string         `json:"custom_greeting"`
	Context        *string         `json:"context"`
	Properties     json.RawMessage `json:"properties"`
	Memories       json.RawMessage `json:"memories"`
	KnowledgeBase  json.RawMessage `json:"knowledge_base"`
	Status         string          `json:"status"`
	CreatedAt      string          `json:"created_at"`
	UpdatedAt      string          `json:"updated_at"`
	LastUsedAt     *string         `json:"last_used_at"`
	TotalSessions  int64           `json:"total_sessions"`
	AvgDuration    float64         `json:"avg_duration"`
}

// made is what a create answers of the agent.
type made struct {
	AgentID        int64   `json:"agent_id"`
	Name           string  `json:"name"`
	AvatarID       *int64  `json:"avatar_id"`
	Language       string  `json:"language"`
	CustomGreeting *string `json:"custom_greeting"`
	Context        *string `json:"context"`
	Status         string  `json:"status"`
	CreatedAt      string  `json:"created_at"`
}

type createBody struct {
	Name           *string         `json:"name"`
	AvatarID       *int64          `json:"avatar_id"`
	Language       *string         `json:"language"`
	CustomGreeting *string         `json:"custom_greeting"`
	Context        *string         `json:"context"`
	Properties     json.RawMessage `json:"properties"`
}

type updateBody struct {
	createBody
	Memories      json.RawMessage `json:"memories"`
	KnowledgeBase json.RawMessage `json:"knowledge_base"`
	Status        *string         `json:"status"`
}

// avatars are the provider's public ones: an agent's face, name and voice come
// with the avatar_id.
var avatars = map[int64]struct {
	name, url string
	voice     *string
	voiceID   int64
}{
	1: {"Professional Avatar", "https://example.com/avatar.jpg", text("21m00Tcm4TlvDq8ikWAM"), 2},
	2: {"Casual Avatar", "https://example.com/avatar2.jpg", nil, 3},
	3: {"Clinic Receptionist", "https://example.com/avatar3.jpg", text("EXAVITQu4vr4xnSDxMaL"), 4},
}

// Emulator is the emulated provider.
type Emulator struct {
	*sandbox.Server
	sandbox.Accounts[stored]

	mu   sync.Mutex
	next int64
}

var _ sandbox.Emulator = (*Emulator)(nil)

const prefix = "/v1"

// New makes an emulator without accounts.
func New() *Emulator {
	e := &Emulator{next: 1000}
	e.Server = sandbox.NewServer(sandbox.Config{
		Vendor: "agenthuman",
		Prefix: prefix,
		Routes: []sandbox.Route{
			{Method: http.MethodGet, Pattern: "/agents", Handle: e.list},
			{Method: http.MethodPost, Pattern: "/agents", Body: true, Handle: e.create},
			{Method: http.MethodGet, Pattern: "/agents/{id}", Handle: e.get},
			{Method: http.MethodPut, Pattern: "/agents/{id}", Body: true, Handle: e.update},
			{Method: http.MethodDelete, Pattern: "/agents/{id}", Handle: e.remove},
		},
		Key:    func(r *http.Request) string { return r.Header.Get("x-api-key") },
		Known:  e.Known,
		Error:  fail,
		Header: limitHeaders,
	})
	return e
}

//go:embed demo.json
var demo []byte

// SeedDemo stores a company's avatars under the key.
func (e *Emulator) SeedDemo(key string) {
	e.SeedAll(key, demo)
}

// list is ordered by updated_at, the latest first.
func (e *Emulator) list(c *sandbox.Call) (reply sandbox.Reply) {
	rows := []row{}
	e.With(c.Key, func(all *[]stored) {
		sorted := slices.Clone(*all)
		slices.SortStableFunc(sorted, func(a, b stored) int { return strings.Compare(b.UpdatedAt, a.UpdatedAt) })
		for _, a := range sorted {
			rows = append(rows, row{
				AgentID: a.ID, Name: a.Name, AvatarID: a.AvatarID, Language: a.Language, CustomGreeting: a.CustomGreeting,
				Context: a.Context, Status: a.Status, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt, LastUsedAt: a.LastUsedAt,
				TotalSessions: a.TotalSessions, AvgDuration: a.AvgDuration,
				AvatarName: a.AvatarName, AvatarURL: a.AvatarURL, VoiceID: a.AvatarVoiceID,
			})
		}
	})
	return sandbox.Reply{Status: http.StatusOK, Body: map[string]any{"success": true, "agents": rows}}
}

func (e *Emulator) get(c *sandbox.Call) sandbox.Reply {
	return e.withAgent(c, func(all *[]stored, i int) sandbox.Reply {
		a := (*all)[i]
		return sandbox.Reply{Status: http.StatusOK, Body: detail{
			ID: a.ID, UserID: a.UserID, Name: a.Name, AvatarID: a.AvatarID, VoiceID: a.VoiceID, RoleID: a.RoleID,
			Language: a.Language, CustomGreeting: a.CustomGreeting, Context: a.Context,
			Properties: orNull(a.Properties), Memories: orNull(a.Memories), KnowledgeBase: orNull(a.KnowledgeBase),
			Status: a.Status, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt, LastUsedAt: a.LastUsedAt,
			TotalSessions: a.TotalSessions, AvgDuration: a.AvgDuration,
		}}
	})
}

func (e *Emulator) create(c *sandbox.Call) sandbox.Reply {
	var b createBody
	if reply, ok := e.Decode(c, &b); !ok {
		return reply
	}
	if b.Name == nil || *b.Name == "" {
		return fail(http.StatusBadRequest)
	}
	now := sandbox.Timestamp()
	a := stored{ID: e.newID(), UserID: 1, RoleID: integer(1), Language: "en", Status: "active", CreatedAt: now, UpdatedAt: now}
	if !b.apply(&a) {
		return fail(http.StatusBadRequest)
	}
	e.With(c.Key, func(all *[]stored) { *all = append(*all, a) })
	return sandbox.Reply{Status: http.StatusCreated, Body: map[string]any{
		"success": true,
		"agent": made{
			AgentID: a.ID, Name: a.Name, AvatarID: a.AvatarID, Language: a.Language,
			CustomGreeting: a.CustomGreeting, Context: a.Context, Status: a.Status, CreatedAt: a.CreatedAt,
		},
		"message": "Agent created successfully",
	}}
}

// update changes only what the body holds, and answers nothing of it.
func (e *Emulator) update(c *sandbox.Call) sandbox.Reply {
	var b updateBody
	if reply, ok := e.Decode(c, &b); !ok {
		return reply
	}
	if string(c.Body) == "{}" || b.Status != nil && *b.Status != "active" && *b.Status != "archived" {
		return fail(http.StatusBadRequest)
	}
	return e.withAgent(c, func(all *[]stored, i int) sandbox.Reply {
		a := (*all)[i]
		if !b.apply(&a) {
			return fail(http.StatusBadRequest)
		}
		if b.Status != nil {
			a.Status = *b.Status
		}
		if b.Memories != nil {
			a.Memories = b.Memories
		}
		if b.KnowledgeBase != nil {
			a.KnowledgeBase = b.KnowledgeBase
		}
		a.UpdatedAt = sandbox.Timestamp()
		(*all)[i] = a
		return sandbox.Reply{Status: http.StatusOK, Body: map[string]bool{"success": true}}
	})
}

func (e *Emulator) remove(c *sandbox.Call) sandbox.Reply {
	return e.withAgent(c, func(all *[]stored, i int) sandbox.Reply {
		*all = slices.Delete(*all, i, i+1)
		return sandbox.Reply{Status: http.StatusOK, Body: map[string]any{"success": true, "message": "Agent deleted successfully"}}
	})
}

// withAgent answers 404 where the account has no such agent; an id that is no
// integer never reaches this generation.
func (e *Emulator) withAgent(c *sandbox.Call, do func(all *[]stored, i int) sandbox.Reply) sandbox.Reply {
	id, err := strconv.ParseInt(c.ID, 10, 64)
	if err != nil {
		return e.Violate("the id %q in the path is not an integer", c.ID)
	}
	return e.One(c.Key, func(a stored) bool { return a.ID == id }, fail(http.StatusNotFound), do)
}

// apply is false for an avatar that does not exist, or an empty name.
func (b createBody) apply(a *stored) bool {
	if b.Name != nil {
		if *b.Name == "" {
			return false
		}
		a.Name = *b.Name
	}
	if b.AvatarID != nil {
		avatar, ok := avatars[*b.AvatarID]
		if !ok {
			return false
		}
		a.AvatarID, a.AvatarName, a.AvatarURL = b.AvatarID, text(avatar.name), text(avatar.url)
		a.AvatarVoiceID, a.VoiceID = avatar.voice, integer(avatar.voiceID)
	}
	if b.Language != nil {
		a.Language = *b.Language
	}
	if b.CustomGreeting != nil {
		a.CustomGreeting = b.CustomGreeting
	}
	if b.Context != nil {
		a.Context = b.Context
	}
	if b.Properties != nil {
		a.Properties = b.Properties
	}
	return true
}

func (e *Emulator) newID() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next++
	return e.next
}

func text(s string) *string  { return &s }
func integer(i int64) *int64 { return &i }
func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}

// fail: the seeds' error has a text under "error"; an update's 404 leaves out
// "success", which readers must bear.
func fail(status int) sandbox.Reply {
	return sandbox.Reply{Status: status, Body: map[string]any{"success": false, "error": http.StatusText(status)}}
}

// limitHeaders are on every reply. The emulator has no limit of its own.
func limitHeaders() map[string]string {
	return map[string]string{
		"X-RateLimit-Limit":     "60",
		"X-RateLimit-Remaining": "59",
		"X-RateLimit-Reset":     strconv.FormatInt(time.Now().Add(time.Minute).Unix(), 10),
	}
}
