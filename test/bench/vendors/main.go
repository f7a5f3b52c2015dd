// Command providers serves emulated providers to benchmarks. It computes each response once and
// then sends it from memory, so that the emulators take no CPU time from the gateway.
//
//	providers -agents 25 -delay 20ms
//
// prints a JSON object of base URLs by provider and runs until it is killed. The credential is
// "bench", with or without a number behind it.
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"flag"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/sandbox"
)

// templates has an agent of each provider. %d is its number.
//
//go:embed agents.json
var templates []byte

func main() {
	agents := flag.Int("agents", 25, "agents of each provider")
	delay := flag.Duration("delay", 0, "before each response")
	changing := flag.Bool("changing", false, "in each response one agent has another name")
	flag.Parse()
	var of map[string]string
	if err := json.Unmarshal(templates, &of); err != nil {
		log.Fatal(err)
	}
	addresses := map[string]string{}
	for _, v := range all.Entries() {
		name, emulator := v.Info.Provider, v.Emulator()
		for i := range *agents {
			emulator.Seed("bench", json.RawMessage(strings.ReplaceAll(of[name], "%d", strconv.Itoa(i+1))))
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

// memory sends the responses of an emulator.
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

// renameOne changes a letter in the name of one agent of a response.
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

// numbered matches the credentials of different keys. All have the same account.
var numbered = regexp.MustCompile(`bench\d+`)

func (m *memory) ask(c *fasthttp.RequestCtx) *reply {
	req := httptest.NewRequest(string(c.Method()), "http://vendor"+string(c.RequestURI()), bytes.NewReader(c.PostBody()))
	for name, value := range c.Request.Header.All() {
		req.Header.Set(string(name), numbered.ReplaceAllString(string(value), "bench"))
	}
	w := httptest.NewRecorder()
	m.emulator.ServeHTTP(w, req)
	for _, name := range []string{"Content-Length", "X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset"} {
		w.Header().Del(name) // the benchmark is not limited
	}
	return &reply{w.Code, w.Header(), w.Body.Bytes()}
}
