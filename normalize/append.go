package normalize

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// rowEncoder appends JSON members to dst and keeps the first error. It writes what
// encoding by reflection would: TestAppendRow compares the two.
type rowEncoder struct {
	dst []byte
	err error
}

// verbatim are the options for values that are JSON already: white space is removed,
// all else is kept.
var verbatim = []jsontext.Options{jsontext.PreserveRawStrings(true), jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false)}

// AppendRow appends the agent's row to dst.
func (a *Agent) AppendRow(dst []byte) (Row, error) {
	w := &rowEncoder{dst: dst}
	w.text(`{"id":`, &a.ID)
	w.text(`,"object":`, &a.Object)
	w.text(`,"backend":`, &a.Backend)
	w.text(`,"provider":`, &a.Provider)
	w.text(`,"native_id":`, &a.NativeID)
	w.texts(`,"alternate_ids":`, a.AlternateIDs)
	w.text(`,"name":`, a.Name)
	w.text(`,"description":`, a.Description)
	w.text(`,"status":`, a.Status)
	w.text(`,"modality":`, a.Modality)
	w.text(`,"architecture":`, a.Architecture)
	w.text(`,"direction":`, a.Direction)
	w.text(`,"visibility":`, a.Visibility)
	w.text(`,"language":`, a.Language)
	w.text(`,"system_prompt":`, a.SystemPrompt)
	w.text(`,"greeting":`, a.Greeting)
	w.text(`,"model":{"id":`, a.Model.ID)
	w.number(`,"temperature":`, a.Model.Temperature)
	w.text(`},"voice":{"id":`, a.Voice.ID)
	w.text(`},"stt":{"provider":`, a.STT.Provider)
	w.text(`},"tts":{"provider":`, a.TTS.Provider)
	w.text(`},"realtime":{"provider":`, a.Realtime.Provider)
	if a.Avatar == nil {
		w.raw(`},"avatar":null`)
	} else {
		w.text(`},"avatar":{"id":`, a.Avatar.ID)
		w.text(`,"name":`, a.Avatar.Name)
		w.text(`,"url":`, a.Avatar.URL)
		w.text(`,"voice_id":`, a.Avatar.VoiceID)
		w.raw(`}`)
	}
	w.text(`,"phone":{"number":`, a.Phone.Number)
	w.bool(`,"can_call":`, a.Phone.CanCall)
	w.texts(`},"knowledge_base_ids":`, a.KnowledgeBaseIDs)
	w.texts(`,"tools":{"builtin":`, a.Tools.Builtin)
	w.texts(`,"custom":`, a.Tools.Custom)
	w.text(`},"owner":{"user_id":`, a.Owner.UserID)
	w.text(`,"team_id":`, a.Owner.TeamID)
	w.number(`},"usage":{"sessions":`, a.Usage.Sessions)
	w.number(`,"calls":`, a.Usage.Calls)
	w.number(`,"minutes":`, a.Usage.Minutes)
	w.number(`,"avg_duration_s":`, a.Usage.AvgDurationS)
	w.text(`,"last_used_at":`, a.Usage.LastUsedAt)
	w.text(`},"created_at":`, a.CreatedAt)
	w.text(`,"updated_at":`, a.UpdatedAt)
	w.raw(`,"extensions":`)
	if a.Extensions == nil {
		w.raw(`{}`)
	} else {
		w.value(a.Extensions)
	}
	w.raw(`}`)
	return w.dst, w.err
}

func (w *rowEncoder) raw(text string) { w.dst = append(w.dst, text...) }

func (w *rowEncoder) keepError(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *rowEncoder) quote(text string) {
	var err error
	w.dst, err = jsontext.AppendQuote(w.dst, text)
	w.keepError(err)
}

// text appends the literal before it, and a string or null.
func (w *rowEncoder) text(before string, v *string) {
	w.raw(before)
	if v == nil {
		w.raw(`null`)
		return
	}
	w.quote(*v)
}

func (w *rowEncoder) texts(before string, v []string) {
	w.raw(before)
	if v == nil {
		w.raw(`null`)
		return
	}
	w.raw(`[`)
	for i, text := range v {
		if i > 0 {
			w.raw(`,`)
		}
		w.quote(text)
	}
	w.raw(`]`)
}

func (w *rowEncoder) bool(before string, v *bool) {
	w.raw(before)
	if v == nil {
		w.raw(`null`)
		return
	}
	w.dst = strconv.AppendBool(w.dst, *v)
}

func (w *rowEncoder) number(before string, v *Number) {
	w.raw(before)
	if v == nil {
		w.raw(`null`)
		return
	}
	w.value(jsontext.Value(*v))
}

func (w *rowEncoder) value(v jsontext.Value) {
	var err error
	w.dst, err = jsontext.AppendFormat(w.dst, v, verbatim...)
	w.keepError(err)
}
