package agenthuman

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/wire"
	"github.com/agentgw/agentgw/normalize"
)

func decodeList(backend string, r adapters.Response) (adapters.Listing, error) {
	var l wireList
	if err := adapters.Decode(provider, adapters.OpList, r, &l); err != nil {
		return adapters.Listing{}, err
	}
	if err := adapters.CheckSuccessMember(provider, adapters.OpList, r, l.Success); err != nil {
		return adapters.Listing{}, err
	}
	if !l.Agents.Sent {
		return adapters.Listing{}, adapters.WrongShape(provider, adapters.OpList, r, "/agents is missing")
	}
	agents, unreadable := wire.Rows("/agents", l.Agents.OrZero(), func(pointer string, row jsontext.Value) (*normalize.Agent, error) {
		return decodeAgent(backend, adapters.OpList, pointer, row)
	})
	return adapters.NewListing(provider, agents, unreadable), nil
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
	return decodeOne(backend, adapters.OpGet, r, pointer, data)
}

// decodeCreated decodes the response to a create, which shows part of the agent.
func decodeCreated(backend string, r adapters.Response) (*normalize.Agent, error) {
	reply, err := decodeReply(adapters.OpCreate, r)
	if err != nil {
		return nil, err
	}
	return decodeOne(backend, adapters.OpCreate, r, "/agent", reply.Agent)
}

func decodeOne(backend string, op adapters.Operation, r adapters.Response, pointer string, data jsontext.Value) (*normalize.Agent, error) {
	agent, err := decodeAgent(backend, op, pointer, data)
	if err != nil {
		return nil, adapters.WrongShape(provider, op, r, err.Error())
	}
	return agent, nil
}

func decodeReply(op adapters.Operation, r adapters.Response) (wireReply, error) {
	var reply wireReply
	if err := adapters.Decode(provider, op, r, &reply); err != nil {
		return reply, err
	}
	return reply, adapters.CheckSuccessMember(provider, op, r, reply.Success)
}

func checkSuccess(op adapters.Operation, r adapters.Response) error {
	_, err := decodeReply(op, r)
	return err
}

func decodeAgent(backend string, op adapters.Operation, pointer string, data jsontext.Value) (*normalize.Agent, error) {
	w, payload, err := wire.ReadPayload[wireAgent](pointer, data)
	if err != nil {
		return nil, err
	}
	sent, name, other, spare := w.AgentID, "agent_id", w.ID, "id"
	if op == adapters.OpGet && w.ID.Sent || !w.AgentID.Sent {
		sent, name, other, spare = w.ID, "id", w.AgentID, "agent_id"
	}
	id, err := payload.ID(name, sent.Value, wire.EitherID)
	if err != nil {
		return nil, err
	}

	view := normalize.ViewBasic
	if op == adapters.OpGet {
		view = normalize.ViewFull
	}
	b := wire.NewBuilder(normalize.New(provider, backend, id, view), payload, w.Rest)
	if other.Sent {
		b.Extend(spare, payload.Member(spare))
	}
	b.Modality = &info.Modality
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
	convertAvatar(b, payload, w)
	convertVoice(b, payload, op, w.VoiceID)
	return b.Build(sets(op, sent.Value.Text)), nil
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

func convertAvatar(b *wire.Builder, payload *wire.Payload, w wireAgent) {
	b.Avatar = &normalize.Avatar{}
	if w.AvatarID.Sent {
		b.Avatar.ID = wire.Text(w.AvatarID.Value)
		b.Sees(normalize.FieldAvatarID)
	}
	b.Set(normalize.FieldAvatarName, &b.Avatar.Name, w.AvatarName)
	b.Set(normalize.FieldAvatarURL, &b.Avatar.URL, w.AvatarURL)
	if w.AvatarURL.Sent && w.AvatarImageURL.Sent {
		b.Extend("avatar_image_url", payload.Member("avatar_image_url"))
		return
	}
	b.Set(normalize.FieldAvatarURL, &b.Avatar.URL, w.AvatarURL.Or(w.AvatarImageURL))
}

// convertVoice fills the avatar's voice from a string, and the agent's from an
// integer. The provider calls both voice_id: the list has the first, the detail the
// second.
func convertVoice(b *wire.Builder, payload *wire.Payload, op adapters.Operation, v jsontext.Value) {
	if v == nil {
		return
	}
	id := wire.IntegerOrText{Text: op != adapters.OpGet}
	var value *string
	if v.Kind() != 'n' {
		if decoded, err := decodeID(v); err == nil {
			id, value = decoded, &decoded.ID
		} else {
			payload.Unexpected("voice_id", v)
		}
	}
	if id.Text {
		b.Avatar.VoiceID = value
		b.Sees(normalize.FieldAvatarVoiceID)
		return
	}
	b.Voice.ID = value
	b.Sees(normalize.FieldVoiceID)
}
