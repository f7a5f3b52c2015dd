package wire

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// Payload is the JSON object of one agent, and what of it is not as the provider
// documents. One odd member does not make an agent unreadable: it is null for the
// decoder, becomes an extension, and is warned of.
type Payload struct {
	pointer  string         // of the object in the reply
	raw      jsontext.Value // as it was sent, but for text that is not Unicode
	object   jsontext.Value // what was decoded: no member twice, odd ones null
	odd      map[string]jsontext.Value
	warnings []normalize.Warning
	broken   bool // the reply is not JSON; its reader should have refused it
}

// maxAgentWarnings bounds the warnings of one agent.
const maxAgentWarnings = 100

// ReadPayload decodes the object at a JSON pointer of a reply into a T. It fails if it is
// no object; the error names the pointer and quotes nothing.
func ReadPayload[T any](pointer string, data jsontext.Value) (T, *Payload, error) {
	if adapters.DeeperThan(data, adapters.MaxDepth) {
		var none T
		return none, nil, fmt.Errorf("%s nests deeper than %d levels", pointer, adapters.MaxDepth)
	}
	p := &Payload{pointer: pointer, raw: data, object: data}
	tidied := data.Kind() != '{'
	for {
		var decoded T
		err := json.Unmarshal(p.object, &decoded)
		if err == nil && data.Kind() == '{' {
			return decoded, p, nil
		}
		semantic, ok := errors.AsType[*json.SemanticError](err)
		switch {
		case ok && semantic.JSONPointer != "":
			if !p.setAside(firstToken(semantic.JSONPointer)) {
				return decoded, nil, errors.New(pointer + " cannot be read")
			}
		case ok || tidied:
			return decoded, nil, errors.New(pointer + " is " + normalize.KindName(data.Kind()) + ", not an object")
		default:
			tidied = true
			p.tidy()
		}
	}
}

func firstToken(pointer jsontext.Pointer) string {
	for token := range pointer.Tokens() {
		return token
	}
	return ""
}

// tidy makes the object one that a strict decoder accepts.
func (p *Payload) tidy() {
	if !p.raw.IsValid(jsontext.AllowDuplicateNames(true)) {
		p.raw = validText(p.raw)
	}
	p.object = p.tidied(jsontext.Pointer(p.pointer), jsontext.NewDecoder(bytes.NewReader(p.object), normalize.Lenient))
}

// tidied reads the next value and returns it with U+FFFD for what is not Unicode, and the last
// of members with one name. It reads each byte once.
func (p *Payload) tidied(at jsontext.Pointer, dec *jsontext.Decoder) jsontext.Value {
	switch dec.PeekKind() {
	case '{':
		_, _ = dec.ReadToken() // the reply was read before with the same options
		var names []string
		members := map[string]jsontext.Value{}
		for dec.PeekKind() == '"' && !p.broken {
			token, err := dec.ReadToken()
			if err != nil {
				p.broken = true
				break
			}
			name := token.String()
			if _, again := members[name]; again {
				p.warn(normalize.WarnDuplicateMember, string(at.AppendToken(name)), "the member is there twice; the last one counts")
			} else {
				names = append(names, name)
			}
			members[name] = p.tidied(at.AppendToken(name), dec)
		}
		_, _ = dec.ReadToken()
		return object(names, members)
	case '[':
		_, _ = dec.ReadToken()
		out := jsontext.Value{'['}
		for first := true; dec.PeekKind() != ']' && !p.broken; first = false {
			if !first {
				out = append(out, ',')
			}
			out = append(out, p.tidied(at, dec)...)
		}
		_, _ = dec.ReadToken()
		return append(out, ']')
	}
	value, err := dec.ReadValue()
	if err != nil {
		p.broken = true
		return jsontext.Value("null")
	}
	value = value.Clone()
	if value.Kind() == '"' && !value.IsValid() {
		p.warn(normalize.WarnUnexpectedType, string(at), "the text is not valid Unicode; U+FFFD stands for what is not")
		return validText(value)
	}
	return value
}

func object(names []string, members map[string]jsontext.Value) jsontext.Value {
	var object normalize.ObjectBuilder
	for _, name := range names {
		object.Add(name, members[name])
	}
	return object.Value()
}

func validText(value jsontext.Value) jsontext.Value {
	out, err := jsontext.AppendFormat(nil, value, normalize.Lenient)
	if err != nil { // the reply was read with the same options
		return jsontext.Value("null")
	}
	return out
}

// setAside makes a member null for the decoder, and keeps its value for the extensions.
func (p *Payload) setAside(name string) bool {
	var names []string
	members := map[string]jsontext.Value{}
	for n, value := range normalize.EachMember(p.object) {
		names = append(names, n)
		members[n] = value
	}
	value, ok := members[name]
	if !ok || value.Kind() == 'n' {
		return false
	}
	members[name] = jsontext.Value("null")
	p.object = object(names, members)
	p.Unexpected(name, value)
	return true
}

// Unexpected notes that a member has another type than the provider documents. Its value
// becomes an extension.
func (p *Payload) Unexpected(name string, value jsontext.Value) {
	if p.odd == nil {
		p.odd = map[string]jsontext.Value{}
	}
	p.odd[name] = value
	p.warn(normalize.WarnUnexpectedType, p.at(name), "the provider does not document "+normalize.KindName(value.Kind())+" here; the value is in extensions")
}

func (p *Payload) at(name string) string {
	return string(jsontext.Pointer(p.pointer).AppendToken(name))
}

func (p *Payload) warn(code normalize.WarningCode, pointer, message string) {
	if len(p.warnings) < maxAgentWarnings {
		p.warnings = append(p.warnings, normalize.Warning{Code: code, Pointer: normalize.Shorten(pointer), Message: message})
	}
}

// Member returns a member as it was sent; nil if it was not.
func (p *Payload) Member(name string) jsontext.Value {
	if value, ok := p.odd[name]; ok {
		return value
	}
	return normalize.Members(p.object)[name]
}

// IDType is the JSON type that a provider documents for an id.
type IDType byte

// The documented types of ids.
const (
	TextID    IDType = 't'
	IntegerID IDType = 'i'
	EitherID  IDType = 'e'
)

// maxID is the length in bytes of the longest id that an agent can have. A longer one
// would not fit into a cursor that a client can send back.
const maxID = 512

// ID returns an agent's id, which no agent can be without. One of the other JSON type is
// taken with a warning.
func (p *Payload) ID(name string, id *IntegerOrText, documented IDType) (string, error) {
	switch {
	case id == nil && p.odd[name] != nil:
		return "", errors.New(p.at(name) + " is " + normalize.KindName(p.odd[name].Kind()) + ", not an id")
	case id == nil || id.ID == "":
		return "", errors.New(p.at(name) + " is missing")
	case len(id.ID) > maxID:
		return "", errors.New(p.at(name) + " is too long for an id")
	case strings.ContainsRune(id.ID, utf8.RuneError):
		return "", errors.New(p.at(name) + " is not valid Unicode")
	case documented == TextID && !id.Text, documented == IntegerID && id.Text:
		p.warn(normalize.WarnUnexpectedType, p.at(name), "the provider documents another type for an id")
	}
	return id.ID, nil
}

// oddNames returns the names of the odd members, sorted.
func (p *Payload) oddNames() []string {
	names := make([]string, 0, len(p.odd))
	for name := range p.odd {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
