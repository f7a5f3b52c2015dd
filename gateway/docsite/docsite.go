// Package docsite is the pages that a browser reads about the API: the description to
// read and try (Swagger UI over /openapi.json), and the error codes. All of it is in the
// binary; nothing is loaded from elsewhere.
//
// It must not know HTTP, the gateway's state or any vendor.
package docsite

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io"
	"path"
	"sync"

	"github.com/swaggest/swgui/v5/static"

	"github.com/agentgw/agentgw/gateway/payload"
)

// Policy is the Content-Security-Policy of the pages: only what this gateway serves is
// loaded and asked. Swagger UI sets styles of its own.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// File is a page, or what it loads.
type File struct {
	Media  string
	Body   *payload.EncodedBody
	Digest string // of the body, as a text: the same for the same bytes
}

// NewFile is a file with its digest, which takes as long as the body is.
func NewFile(media string, body []byte) File {
	sum := sha256.Sum256(body)
	return File{media, payload.New(body), base64.RawURLEncoding.EncodeToString(sum[:18])}
}

//go:embed docs.html docs.js docs.css
var own embed.FS

const html = "text/html; charset=utf-8"

// Page is the page to read and try the API.
var Page = sync.OnceValue(func() File { return NewFile(html, read(own, "docs.html")) })

// assets are the files that the page loads, by name, and where they are.
var assets = map[string]func() []byte{
	"docs.js":              func() []byte { return read(own, "docs.js") },
	"docs.css":             func() []byte { return read(own, "docs.css") },
	"swagger-ui-bundle.js": func() []byte { return unpack("swagger-ui-bundle.js.gz") },
	"swagger-ui.css":       func() []byte { return unpack("swagger-ui.css.gz") },
	"favicon-32x32.png":    func() []byte { return read(static.FS, "favicon-32x32.png") },
}

var media = map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".png": "image/png"}

var (
	mu    sync.Mutex
	files = map[string]File{}
)

// Asset is what the page loads by that name; ok is false if there is none. It is read
// when it is first asked for.
func Asset(name string) (f File, ok bool) {
	load, ok := assets[name]
	if !ok {
		return File{}, false
	}
	mu.Lock()
	defer mu.Unlock()
	if f, ok = files[name]; !ok {
		f = NewFile(media[path.Ext(name)], load())
		files[name] = f
	}
	return f, true
}

func read(fs embed.FS, name string) []byte {
	data, err := fs.ReadFile(name)
	if err != nil {
		panic(err) // the names are constants; a test reads them all
	}
	return data
}

func unpack(name string) []byte {
	r, err := gzip.NewReader(bytes.NewReader(read(static.FS, name)))
	if err != nil {
		panic(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		panic(err)
	}
	return data
}
