package upstream

import (
	"bufio"
	"bytes"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/agentgw/agentgw/adapters"
)

// plain reads the head of an answer of which nothing is to be decided: it is HTTP/1.1, it came
// as a whole, its body is as long as it says, and each of its lines is what RFC 9112 (sections
// 4 and 5) has, to the letter. All others it leaves where they are, for net/http, which takes
// six times as long (a twentieth of what an agent takes that is asked anew) and says of these
// the same: TestPlainIsAsNetHTTPHasIt.
func plain(in *bufio.Reader) (head answerHead, ok bool) {
	came, _ := in.Peek(in.Buffered()) // never more than there is
	end := bytes.Index(came, []byte("\r\n\r\n"))
	if end < 0 {
		return answerHead{}, false
	}
	const before = "HTTP/1.1 "
	line, rest, _ := strings.Cut(string(came[:end+len("\r\n")]), "\r\n")
	if !strings.HasPrefix(line, before) || len(line) < len(before)+4 || line[len(before)+3] != ' ' || !httpguts.ValidHeaderFieldValue(line) {
		return answerHead{}, false
	}
	status, err := strconv.ParseUint(line[len(before):len(before)+3], 10, 32) // no sign, no space
	if err != nil || status < 200 || status > 599 || status == 204 || status == 304 {
		return answerHead{}, false
	}
	head = answerHead{status: int(status), fields: make(adapters.Header, 0, strings.Count(rest, "\n")), length: -1, body: in}
	for rest != "" {
		line, rest, _ = strings.Cut(rest, "\r\n")
		name, value, named := strings.Cut(line, ":")
		if !named || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) || !head.add(name, textproto.TrimString(value)) {
			return answerHead{}, false
		}
	}
	if head.length < 0 {
		return answerHead{}, false
	}
	_, _ = in.Discard(end + len("\r\n\r\n")) // it is there
	return head, true
}

// add adds a field; false if it has a say in where the body ends, or in how it is written, other
// than by one length, or if it is not simply itself.
func (h *answerHead) add(name, value string) bool {
	is := func(other string) bool { return len(name) == len(other) && strings.EqualFold(name, other) }
	switch {
	case is("Content-Length"):
		length, err := strconv.ParseUint(value, 10, 32)
		if err != nil || h.length >= 0 || length > maxAhead {
			return false
		}
		h.length = int64(length)
	case is("Connection"):
		if !strings.EqualFold(value, "keep-alive") {
			return false
		}
	case is("Transfer-Encoding"), is("Content-Encoding"), is("Trailer"), is("Upgrade"), is("Pragma"):
		return false // of the last net/http makes another field
	}
	h.fields = append(h.fields, adapters.Field{Name: name, Value: value})
	return true
}
