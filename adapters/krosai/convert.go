package krosai

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/wire"
	"github.com/agentgw/agentgw/normalize"
)

func decodeList(backend string, r adapters.Response) ([]*normalize.Agent, error) {
	var rows wire.Opt[adapters.RawRows]
	if err := adapters.Decode(provider, adapters.OpList, r, &rows); err != nil {
		return nil, err
	}
	if rows.Value == nil {
		return nil, adapters.BadResponse(provider, adapters.OpList, r, "the body is null, not an array")
	}
	return wire.Rows("", *rows.Value, func(pointer string, row jsontext.Value) (*normalize.Agent, error) {
		return decodeAgent(backend, adapters.OpList, r, pointer, row, normalize.ViewBasic)
	})
}

func decodeDetail(backend string, op adapters.Operation, r adapters.Response) (*normalize.Agent, error) {
	agent, err := decodeAgent(backend, op, r, "", r.Body, normalize.ViewFull)
	if err != nil {
		return nil, err
	}
	agent.RawDetail = r.Body
	return agent, nil
}

func decodeAgent(backend string, op adapters.Operation, r adapters.Response, pointer string, data jsontext.Value, view normalize.View) (*normalize.Agent, error) {
	var w wireAgent
	if err := adapters.DecodeAt(provider, op, r, pointer, data, &w); err != nil {
		return nil, err
	}
	if w.ID == nil || *w.ID == "" {
		return nil, adapters.BadResponse(provider, op, r, pointer+"/id is missing")
	}
	b := wire.NewBuilder(normalize.New(provider, backend, *w.ID, view), w.Rest)
	modality := normalize.ModalityVoice
	b.Modality = &modality
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
