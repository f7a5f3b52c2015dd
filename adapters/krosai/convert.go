package krosai

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/wire"
	"github.com/agentgw/agentgw/normalize"
)

func decodeList(backend string, r adapters.Response) (adapters.Listing, error) {
	if err := adapters.CheckSuccess(provider, adapters.OpList, r); err != nil {
		return adapters.Listing{}, err
	}
	var rows adapters.RawRows
	if err := adapters.Decode(provider, adapters.OpList, r, &rows); err != nil {
		return adapters.Listing{}, err
	}
	agents, unreadable := wire.Rows("", rows, func(pointer string, row jsontext.Value) (*normalize.Agent, error) {
		return decodeAgent(backend, pointer, row, normalize.ViewBasic)
	})
	return adapters.NewListing(provider, agents, unreadable), nil
}

func decodeDetail(backend string, op adapters.Operation, r adapters.Response) (*normalize.Agent, error) {
	if err := adapters.CheckSuccess(provider, op, r); err != nil {
		return nil, err
	}
	var body jsontext.Value
	if err := adapters.Decode(provider, op, r, &body); err != nil {
		return nil, err
	}
	agent, err := decodeAgent(backend, "", body, normalize.ViewFull)
	if err != nil {
		return nil, adapters.WrongShape(provider, op, r, err.Error())
	}
	return agent, nil
}

func decodeAgent(backend, pointer string, data jsontext.Value, view normalize.View) (*normalize.Agent, error) {
	w, payload, err := wire.ReadPayload[wireAgent](pointer, data)
	if err != nil {
		return nil, err
	}
	id, err := payload.ID("id", w.ID, wire.TextID)
	if err != nil {
		return nil, err
	}
	b := wire.NewBuilder(normalize.New(provider, backend, id, view), payload, w.Rest)
	b.Modality = &info.Modality
	b.Name = w.Name
	b.Description = w.Description
	b.SystemPrompt = w.SystemPrompt
	b.Language = w.Language
	b.Voice.ID = w.VoiceID
	b.TTS.Provider = w.TTSProvider
	b.STT.Provider = w.STTProvider
	b.Model.ID = w.LLMModel
	b.KnowledgeBaseIDs = w.KnowledgeBaseIDs
	b.Owner.UserID = w.CreatedBy
	b.Time(normalize.FieldCreatedAt, &b.CreatedAt, "created_at", w.CreatedAt)
	b.Time(normalize.FieldUpdatedAt, &b.UpdatedAt, "updated_at", w.UpdatedAt)
	// One shape for all operations: nothing is ever left to load.
	return b.Build(neverShown, 0), nil
}
