// Command vendors is the emulated vendors for benchmarks: each answer is asked of the
// emulator once, and then given from memory, so that a benchmark measures the gateway and
// not the emulator.
//
//	vendors -agents 25 -delay 20ms
//
// prints a JSON object, the base URL of each vendor by its name, and runs until it is
// killed. The credential is "bench", with or without a number behind it.
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/sandbox"
)

// templates are an agent of each vendor, as its emulator takes it; %d is its number.
//
//go:embed agents.json
var templates []byte

func main() {
	agents := flag.Int("agents", 25, "agents of each vendor")
	delay := flag.Duration("delay", 0, "before each answer")
	changing := flag.Bool("changing", false, "no reply is the same as the one before: one of its agents has another name")
	text := flag.Int("text", 0, "bytes of an agent's longest text; 0: a few words")
	flag.Parse()
	var of map[string]string
	if err := json.Unmarshal(templates, &of); err != nil {
		log.Fatal(err)
	}
	addresses := map[string]string{}
	for _, v := range all.Entries() {
		name, emulator := v.Info.Provider, v.Emulator()
		for i := range *agents {
			emulator.Seed("bench", json.RawMessage(agent(of[name], i, *text)))
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		addresses[name] = "http://" + l.Addr().String() + emulator.Prefix()
		memory := &memory{emulator: emulator, delay: *delay, changing: *changing, replies: map[string]*reply{}}
		go func() { log.Fatal((&fasthttp.Server{Handler: memory.serve, NoDefaultServerHeader: true}).Serve(l)) }()
	}
	if err := json.NewEncoder(os.Stdout).Encode(addresses); err != nil {
		log.Fatal(err)
	}
	select {}
}

// longest are the values of the longest text of an agent.
var longest = strings.NewReplacer(
	`"inbound agent"`, `"LONGEST"`, `"You are a helpful sales assistant."`, `"LONGEST"`, `"You are a product expert."`, `"LONGEST"`, `"systemPrompt": "p"`, `"systemPrompt": "LONGEST"`,
)

// agent is one of a vendor, by its template.
func agent(template string, i, text int) string {
	if text > 0 {
		template = strings.ReplaceAll(longest.Replace(template), "LONGEST", strings.Repeat("Be helpful. ", text/12+1)[:text])
	}
	number := fmt.Sprint(i + 1)
	template = strings.ReplaceAll(template, "%d", number)
	if i%1000 == 7 { // few
		template = strings.ReplaceAll(template, `"language": "en"`, `"language": "fr"`)
	}
	return template
}

// memory gives an emulator's answers.
type memory struct {
	emulator sandbox.Emulator
	delay    time.Duration
	changing bool

	mu      sync.RWMutex
	replies map[string]*reply
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

var named = []byte(`"Agent `)

// renameOne changes a letter of the name of one agent in a reply.
func renameOne(body []byte) {
	agents := bytes.Count(body, named)
	if agents == 0 {
		return
	}
	at := 0
	for range 1 + rand.IntN(agents) {
		at += bytes.Index(body[at:], named) + 1
	}
	body[at+len("Agent")-1] = byte('a' + rand.IntN(26))
}

func (m *memory) serve(c *fasthttp.RequestCtx) {
	key := string(c.RequestURI())
	m.mu.RLock()
	r := m.replies[key]
	m.mu.RUnlock()
	if r == nil {
		r = m.ask(c)
		m.mu.Lock()
		m.replies[key] = r
		m.mu.Unlock()
	}
	time.Sleep(m.delay)
	c.SetStatusCode(r.status)
	for name, values := range r.header {
		c.Response.Header.Set(name, values[0])
	}
	if m.changing {
		c.Response.SetBody(r.body)
		renameOne(c.Response.Body())
		return
	}
	c.Response.SetBodyRaw(r.body)
}

// numbered are credentials of different keys. They all see the same.
var numbered = regexp.MustCompile(`bench\d+`)

func (m *memory) ask(c *fasthttp.RequestCtx) *reply {
	req := httptest.NewRequest(string(c.Method()), "http://vendor"+string(c.RequestURI()), bytes.NewReader(c.PostBody()))
	for name, value := range c.Request.Header.All() {
		req.Header.Set(string(name), numbered.ReplaceAllString(string(value), "bench"))
	}
	w := httptest.NewRecorder()
	m.emulator.ServeHTTP(w, req)
	for _, name := range []string{"Content-Length", "X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset"} {
		w.Header().Del(name) // nobody is limited here
	}
	return &reply{w.Code, w.Header(), w.Body.Bytes()}
}
