package klen

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/wire"
	"github.com/agentgw/agentgw/normalize"
)

func decodeList(backend string, r adapters.Response) (adapters.Listing, error) {
	var list wireList
	if err := adapters.Decode(provider, adapters.OpList, r, &list); err != nil {
		return adapters.Listing{}, err
	}
	if err := adapters.CheckSuccessMember(provider, adapters.OpList, r, list.Success); err != nil {
		return adapters.Listing{}, err
	}
	if !list.Agents.Sent {
		return adapters.Listing{}, adapters.WrongShape(provider, adapters.OpList, r, "/agents is missing")
	}
	agents, unreadable := wire.Rows("/agents", list.Agents.OrZero(), func(pointer string, row jsontext.Value) (*normalize.Agent, error) {
		return decodeAgent(backend, pointer, row)
	})
	return adapters.NewListing(provider, agents, unreadable), nil
}

func decodeAgent(backend, pointer string, row jsontext.Value) (*normalize.Agent, error) {
	w, payload, err := wire.ReadPayload[wireAgent](pointer, row)
	if err != nil {
		return nil, err
	}
	id, err := payload.ID("id", w.ID, wire.IntegerID)
	if err != nil {
		return nil, err
	}
	b := wire.NewBuilder(normalize.New(provider, backend, id, normalize.ViewBasic), payload, w.Rest)
	if w.AssistantID != nil {
		b.AlternateIDs = append(b.AlternateIDs, normalize.ID{Backend: backend, Native: *w.AssistantID}.String())
	}
	b.Modality = &info.Modality
	b.Name = w.Name
	b.Direction = direction(w.Role)
	b.Model.ID = w.Model
	b.Voice.ID = w.VoiceID
	b.Phone = normalize.Phone{Number: w.PhoneNumber, CanCall: w.CanMakeCalls}
	b.Owner.TeamID = wire.Text(w.TeamID)
	b.Usage.Calls = w.TotalCalls
	b.Usage.Minutes = w.MinutesUsed
	return b.Build(neverShown, notInTheList), nil
}

// direction maps the provider's role to the model's direction. A role that is not
// documented is passed through.
func direction(role *string) *string {
	if role == nil {
		return nil
	}
	d := *role
	switch d {
	case "inbound agent":
		d = normalize.DirectionInbound
	case "outbound agent":
		d = normalize.DirectionOutbound
	}
	return &d
}
