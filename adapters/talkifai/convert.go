package talkifai

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/wire"
	"github.com/agentgw/agentgw/normalize"
)

type page struct {
	adapters.Listing
	number  int // as the reply says; 0 if it does not
	hasNext bool
	open    bool // the reply does not say whether it is the last
	size    int  // of the reply, in bytes
}

func decodePage(backend string, r adapters.Response) (page, error) {
	reply, err := decodeReply(adapters.OpList, r)
	if err != nil {
		return page{}, err
	}
	pointer, rows := "/data", reply.Data
	switch {
	case reply.Data.Kind() == '{':
		pointer, rows = "/data/agents", normalize.Members(reply.Data)["agents"]
	case reply.Data == nil:
		pointer, rows = "/agents", reply.Agents
	}
	if rows == nil {
		return page{}, adapters.WrongShape(provider, adapters.OpList, r, "/data is missing")
	}
	var list adapters.RawRows
	if err := adapters.DecodeAt(provider, adapters.OpList, r, pointer, rows, &list); err != nil {
		return page{}, err
	}
	p := page{size: len(r.Body)}
	var pages pagination
	if err := json.Unmarshal(reply.Pagination, &pages, normalize.Lenient); err != nil {
		pages = pagination{} // of another type than documented: it says nothing
	}
	p.number, p.hasNext = pages.Page, pages.HasNext.OrZero()
	// Only the agents page describes pages. There hasNext is all that says whether
	// the list ends.
	p.open = pointer == "/data" && pages.HasNext.Value == nil
	agents, unreadable := wire.Rows(pointer, list, func(pointer string, row jsontext.Value) (*normalize.Agent, error) {
		return decodeAgent(backend, adapters.OpList, pointer, row)
	})
	p.Listing = adapters.NewListing(provider, agents, unreadable)
	return p, nil
}

// decodeDetail decodes one agent: all of it from a get, a stub from a create.
func decodeDetail(backend string, op adapters.Operation, r adapters.Response) (*normalize.Agent, error) {
	reply, err := decodeReply(op, r)
	if err != nil {
		return nil, err
	}
	pointer, data := "/data", reply.Data
	if inner := normalize.Members(reply.Data)["agent"]; inner.Kind() == '{' {
		pointer, data = "/data/agent", inner
	}
	if reply.Data == nil {
		pointer, data = "/agent", reply.Agent
	}
	if data == nil {
		return nil, adapters.WrongShape(provider, op, r, "/data is missing")
	}
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

// checkSuccess checks a response of which only success is documented. It may have
// no body.
func checkSuccess(op adapters.Operation, r adapters.Response) error {
	if len(r.Body) == 0 {
		return nil
	}
	_, err := decodeReply(op, r)
	return err
}

func decodeAgent(backend string, op adapters.Operation, pointer string, data jsontext.Value) (*normalize.Agent, error) {
	w, payload, err := wire.ReadPayload[wireAgent](pointer, data)
	if err != nil {
		return nil, err
	}
	id, err := payload.ID("id", w.ID, wire.TextID)
	if err != nil {
		return nil, err
	}
	view := normalize.ViewBasic
	if op == adapters.OpGet {
		view = normalize.ViewFull
	}
	b := wire.NewBuilder(normalize.New(provider, backend, id, view), payload, w.Rest)
	var architecture string
	if w.Architecture.Value != nil {
		architecture = *w.Architecture.Value
	}
	modality := info.ModalityOf(architecture)
	b.Modality = &modality
	b.Set(normalize.FieldName, &b.Name, w.Name)
	b.Set(normalize.FieldArchitecture, &b.Architecture, w.Architecture)
	b.Set(normalize.FieldVisibility, &b.Visibility, w.Mode)
	b.Set(normalize.FieldModelID, &b.Model.ID, w.Model)
	b.Set(normalize.FieldSTTProvider, &b.STT.Provider, w.STT)
	b.Set(normalize.FieldTTSProvider, &b.TTS.Provider, w.TTS)
	b.Set(normalize.FieldVoiceID, &b.Voice.ID, w.VoiceID)
	b.Set(normalize.FieldRealtimeProvider, &b.Realtime.Provider, w.RealtimeProvider)
	b.Set(normalize.FieldDescription, &b.Description, w.Description)
	b.Set(normalize.FieldGreeting, &b.Greeting, w.GreetingMessage)
	b.Set(normalize.FieldOwnerUserID, &b.Owner.UserID, w.UserID)
	b.Set(normalize.FieldOwnerTeamID, &b.Owner.TeamID, w.OrganizationID)
	b.Time(normalize.FieldCreatedAt, &b.CreatedAt, "createdAt", w.CreatedAt)
	b.Time(normalize.FieldUpdatedAt, &b.UpdatedAt, "updatedAt", w.UpdatedAt)
	if w.Active.Sent {
		b.Status = status(w.Active.Value)
		b.Sees(normalize.FieldStatus)
	}
	if w.Temperature.Sent {
		b.Model.Temperature = w.Temperature.Value
		b.Sees(normalize.FieldModelTemperature)
	}
	if w.Functions.Sent {
		b.Tools.Builtin = strings(w.Functions)
		b.Sees(normalize.FieldToolsBuiltin)
	}
	if w.CustomFunctions.Sent {
		b.Tools.Custom = strings(w.CustomFunctions)
		b.Sees(normalize.FieldToolsCustom)
	}
	b.Set(normalize.FieldSystemPrompt, &b.SystemPrompt, w.SystemPrompt.Or(w.SysMsg))
	if w.SystemPrompt.Sent && w.SysMsg.Sent {
		b.Extend("sysMsg", payload.Member("sysMsg"))
	}
	convertLanguages(b, payload, w)
	return b.Build(sets(op, w.fromEndpointPages())), nil
}

// sets returns the fields that the description never shows, and those that the
// response to this operation leaves out.
func sets(op adapters.Operation, endpointPages bool) (unavailable, notLoaded normalize.FieldSet) {
	switch {
	case endpointPages:
		return normalize.Optional.Minus(endpointPagesShow), 0
	case op == adapters.OpGet:
		return neverShown, notInTheGet
	case op == adapters.OpList:
		return neverShown, notInTheList
	default:
		return neverShown, notInACreate
	}
}

func status(active *bool) *string {
	if active == nil {
		return nil
	}
	s := normalize.StatusInactive
	if *active {
		s = normalize.StatusActive
	}
	return &s
}

func strings(o wire.Opt[[]string]) []string {
	if o.Value == nil {
		return nil
	}
	return *o.Value
}

// convertLanguages fills the language from "language", or else from the first item
// of "languages". The rest of "languages", other members of its first item
// included, is an extension.
func convertLanguages(b *wire.Builder, payload *wire.Payload, w wireAgent) {
	b.Set(normalize.FieldLanguage, &b.Language, w.Language)
	if w.Languages == nil {
		return
	}
	if w.Language.Sent {
		b.Extend("languages", w.Languages)
		return
	}
	b.Sees(normalize.FieldLanguage)
	first, rest, ok := firstLanguage(w.Languages)
	switch {
	case ok:
		b.Language = &first
		if rest != nil {
			b.Extend("languages", rest)
		}
	case w.Languages.Kind() == 'n' || string(w.Languages) == "[]":
		b.Extend("languages", w.Languages)
	default:
		payload.Unexpected("languages", w.Languages)
	}
}
