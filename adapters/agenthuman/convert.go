package agenthuman

import (
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/wire"
	"github.com/agentgw/agentgw/normalize"
)

func decodeList(backend string, r adapters.Response) ([]*normalize.Agent, error) {
	var l wireList
	if err := adapters.Decode(provider, adapters.OpList, r, &l); err != nil {
		return nil, err
	}
	if err := succeeded(adapters.OpList, r, l.Success); err != nil {
		return nil, err
	}
	if l.Agents.Value == nil {
		return nil, adapters.BadResponse(provider, adapters.OpList, r, "/agents is missing")
	}
	return wire.Rows("/agents", *l.Agents.Value, func(pointer string, row jsontext.Value) (*normalize.Agent, error) {
		return decodeAgent(backend, adapters.OpList, r, pointer, row)
	})
}

// decodeDetail decodes the response to a get: the agent itself, or the agent in an
// envelope, which the newer generation uses for writes.
func decodeDetail(backend string, r adapters.Response) (*normalize.Agent, error) {
	reply, err := decodeReply(adapters.OpGet, r)
	if err != nil {
		return nil, err
	}
	pointer, data := "", jsontext.Value(r.Body)
	if reply.Agent.Kind() == '{' {
		pointer, data = "/agent", reply.Agent
	}
	agent, err := decodeAgent(backend, adapters.OpGet, r, pointer, data)
	if err != nil {
		return nil, err
	}
	agent.RawDetail = data
	return agent, nil
}

// decodeCreated decodes the response to a create, which shows part of the agent.
func decodeCreated(backend string, r adapters.Response) (*normalize.Agent, error) {
	reply, err := decodeReply(adapters.OpCreate, r)
	if err != nil {
		return nil, err
	}
	return decodeAgent(backend, adapters.OpCreate, r, "/agent", reply.Agent)
}

func decodeReply(op adapters.Operation, r adapters.Response) (wireReply, error) {
	var reply wireReply
	if err := adapters.Decode(provider, op, r, &reply); err != nil {
		return reply, err
	}
	return reply, succeeded(op, r, reply.Success)
}

func checkSuccess(op adapters.Operation, r adapters.Response) error {
	_, err := decodeReply(op, r)
	return err
}

// succeeded returns an error for a 2xx that says success:false.
func succeeded(op adapters.Operation, r adapters.Response, success wire.Opt[bool]) error {
	if success.Value == nil || *success.Value {
		return nil
	}
	return &normalize.Error{Kind: normalize.KindFailureReply, Provider: provider, Op: string(op), Status: r.Status, Message: "the reply says success:false"}
}

func decodeAgent(backend string, op adapters.Operation, r adapters.Response, pointer string, data jsontext.Value) (*normalize.Agent, error) {
	var w wireAgent
	if err := adapters.DecodeAt(provider, op, r, pointer, data, &w); err != nil {
		return nil, err
	}
	id, other, spare := w.AgentID, w.ID, "id"
	if op == adapters.OpGet && w.ID.Sent || !w.AgentID.Sent {
		id, other, spare = w.ID, w.AgentID, "agent_id"
	}
	if id.Value == nil || id.Value.ID == "" {
		return nil, adapters.BadResponse(provider, op, r, pointer+"/agent_id is missing")
	}

	view := normalize.ViewBasic
	if op == adapters.OpGet {
		view = normalize.ViewFull
	}
	b := wire.NewBuilder(normalize.New(provider, backend, id.Value.ID, view), w.Rest)
	if other.Sent {
		b.Extend(spare, normalize.Members(data)[spare])
	}
	modality := normalize.ModalityAvatar
	b.Modality = &modality
	b.Set(normalize.FieldName, &b.Name, w.Name)
	b.Set(normalize.FieldStatus, &b.Status, w.Status)
	b.Set(normalize.FieldLanguage, &b.Language, w.Language)
	b.Set(normalize.FieldSystemPrompt, &b.SystemPrompt, w.Context)
	b.Set(normalize.FieldGreeting, &b.Greeting, w.CustomGreeting)
	b.Time(normalize.FieldCreatedAt, &b.CreatedAt, "created_at", w.CreatedAt)
	b.Time(normalize.FieldUpdatedAt, &b.UpdatedAt, "updated_at", w.UpdatedAt)
	b.Time(normalize.FieldUsageLastUsedAt, &b.Usage.LastUsedAt, "last_used_at", w.LastUsedAt)
	if w.TotalSessions.Sent {
		b.Usage.Sessions = w.TotalSessions.Value
		b.Sees(normalize.FieldUsageSessions)
	}
	if w.AvgDuration.Sent {
		b.Usage.AvgDurationS = w.AvgDuration.Value
		b.Sees(normalize.FieldUsageAvgDurationS)
	}
	if w.UserID.Sent {
		b.Owner.UserID = wire.Text(w.UserID.Value)
		b.Sees(normalize.FieldOwnerUserID)
	}
	convertAvatar(b, w)
	if err := convertVoice(b, op, w.VoiceID); err != nil {
		return nil, adapters.BadResponse(provider, op, r, pointer+"/voice_id "+err.Error())
	}
	return b.Build(sets(op, id.Value.Text)), nil
}

// sets returns the fields that the generation never shows, and those that the
// response to this operation leaves out.
func sets(op adapters.Operation, newer bool) (unavailable, notLoaded normalize.FieldSet) {
	if newer {
		return newerUnavailable, 0
	}
	switch op {
	case adapters.OpGet:
		return neverShown, notInTheGet
	case adapters.OpList:
		return neverShown, notInTheList
	}
	return neverShown, notInACreate
}

func convertAvatar(b *wire.Builder, w wireAgent) {
	b.Avatar = &normalize.Avatar{}
	if w.AvatarID.Sent {
		b.Avatar.ID = wire.Text(w.AvatarID.Value)
		b.Sees(normalize.FieldAvatarID)
	}
	b.Set(normalize.FieldAvatarName, &b.Avatar.Name, w.AvatarName)
	b.Set(normalize.FieldAvatarURL, &b.Avatar.URL, w.AvatarURL)
	if w.AvatarURL.Sent && w.AvatarImageURL.Sent {
		b.Extend("avatar_image_url", textValue(w.AvatarImageURL.Value))
		return
	}
	b.Set(normalize.FieldAvatarURL, &b.Avatar.URL, w.AvatarURL.Or(w.AvatarImageURL))
}

var errVoice = fmt.Errorf("has the wrong JSON type: want a string, an integer or null")

// convertVoice fills the avatar's voice from a string, and the agent's from an
// integer. The provider calls both voice_id: the list has the first, the detail the
// second.
func convertVoice(b *wire.Builder, op adapters.Operation, v jsontext.Value) error {
	var id wire.IntegerOrText
	switch {
	case v == nil:
		return nil
	case v.Kind() == 'n':
		id.Text = op != adapters.OpGet
	default:
		decoded, err := decodeID(v)
		if err != nil {
			return errVoice
		}
		id = decoded
	}
	target, field := &b.Voice.ID, normalize.FieldVoiceID
	if id.Text {
		target, field = &b.Avatar.VoiceID, normalize.FieldAvatarVoiceID
	}
	if v.Kind() != 'n' {
		*target = &id.ID
	}
	b.Sees(field)
	return nil
}
