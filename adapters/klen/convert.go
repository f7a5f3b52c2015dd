package klen

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/wire"
	"github.com/agentgw/agentgw/normalize"
)

func decodeList(backend string, r adapters.Response) ([]*normalize.Agent, error) {
	var list wireList
	if err := adapters.Decode(provider, adapters.OpList, r, &list); err != nil {
		return nil, err
	}
	if list.Agents.Value == nil {
		return nil, adapters.BadResponse(provider, adapters.OpList, r, "/agents is missing")
	}
	return wire.Rows("/agents", *list.Agents.Value, func(pointer string, row jsontext.Value) (*normalize.Agent, error) {
		return decodeAgent(backend, r, pointer, row)
	})
}

func decodeAgent(backend string, r adapters.Response, pointer string, row jsontext.Value) (*normalize.Agent, error) {
	var w wireAgent
	if err := adapters.DecodeAt(provider, adapters.OpList, r, pointer, row, &w); err != nil {
		return nil, err
	}
	if w.ID == nil {
		return nil, adapters.BadResponse(provider, adapters.OpList, r, pointer+"/id is missing")
	}
	b := wire.NewBuilder(normalize.New(provider, backend, string(*w.ID), normalize.ViewBasic), w.Rest)
	if w.AssistantID != nil {
		b.AlternateIDs = append(b.AlternateIDs, normalize.ID{Backend: backend, Native: *w.AssistantID}.String())
	}
	modality := normalize.ModalityVoice
	b.Modality = &modality
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
