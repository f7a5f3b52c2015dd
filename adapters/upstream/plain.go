package upstream

import (
	"bufio"
	"bytes"
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
	text := string(came[:end+len("\r\n")])
	const before = "HTTP/1.1 "
	line, rest, ok := cutLine(text)
	if !ok || !strings.HasPrefix(line, before) || len(line) < len(before)+4 || line[len(before)+3] != ' ' || !isValue(line) {
		return answerHead{}, false
	}
	if head.status, ok = number(line[len(before) : len(before)+3]); !ok || head.status < 200 || head.status > 599 || head.status == 204 || head.status == 304 {
		return answerHead{}, false
	}
	head.fields, head.length, head.body = make(adapters.Header, 0, strings.Count(rest, "\n")), -1, in
	for rest != "" {
		if line, rest, ok = cutLine(rest); !ok {
			return answerHead{}, false
		}
		colon := strings.IndexByte(line, ':')
		if colon <= 0 || !isName(line[:colon]) || !isValue(line[colon+1:]) || !head.add(line[:colon], trimmed(line[colon+1:])) {
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
		length, ok := number(value)
		if !ok || h.length >= 0 || length > maxAhead {
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

// cutLine takes a line off; false if it is not one to the letter.
func cutLine(text string) (line, rest string, ok bool) {
	end := strings.IndexByte(text, '\r')
	if end < 0 || end+1 == len(text) || text[end+1] != '\n' {
		return "", "", false
	}
	return text[:end], text[end+2:], true
}

// isName: RFC 9110, section 5.1.
func isName(text string) bool {
	for i := range len(text) {
		if !httpguts.IsTokenRune(rune(text[i])) {
			return false
		}
	}
	return true
}

// isValue: RFC 9110, section 5.5.
func isValue(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// trimmed is a value without the spaces around it.
func trimmed(text string) string {
	for len(text) > 0 && (text[0] == ' ' || text[0] == '\t') {
		text = text[1:]
	}
	for len(text) > 0 && (text[len(text)-1] == ' ' || text[len(text)-1] == '\t') {
		text = text[:len(text)-1]
	}
	return text
}

// number reads digits and nothing else.
func number(text string) (n int, ok bool) {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}
