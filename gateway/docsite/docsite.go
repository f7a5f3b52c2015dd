// Package docsite builds the documentation pages of the API: the interactive description
// (Swagger UI over /openapi.json) and the list of error codes. Everything that the pages
// load is embedded in the binary.
//
// The package must not know HTTP servers, the gateway's state or any provider. Begin with
// Page, Asset and Errors.
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

// Policy is the Content-Security-Policy of the pages: they load and call this gateway only.
// Swagger UI needs inline styles.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// File is a page or a file that a page loads.
type File struct {
	Media  string // the Content-Type
	Body   *payload.EncodedBody
	Digest string // a digest of the body, for use in an ETag
}

// NewFile returns a file with the digest of its body.
func NewFile(media string, body []byte) File {
	sum := sha256.Sum256(body)
	return File{media, payload.New(body), base64.RawURLEncoding.EncodeToString(sum[:18])}
}

//go:embed docs.html docs.js docs.css
var sources embed.FS

const mediaHTML = "text/html; charset=utf-8"

// Page returns the interactive description of the API.
var Page = sync.OnceValue(func() File { return NewFile(mediaHTML, read(sources, "docs.html")) })

// assets loads each file that the page uses, by name.
var assets = map[string]func() []byte{
	"docs.js":              func() []byte { return read(sources, "docs.js") },
	"docs.css":             func() []byte { return read(sources, "docs.css") },
	"swagger-ui-bundle.js": func() []byte { return unpack("swagger-ui-bundle.js.gz") },
	"swagger-ui.css":       func() []byte { return unpack("swagger-ui.css.gz") },
	"favicon-32x32.png":    func() []byte { return read(static.FS, "favicon-32x32.png") },
}

var media = map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".png": "image/png"}

var (
	mu    sync.Mutex
	files = map[string]File{}
)

// Asset returns a file that the page uses; ok is false if there is no such file. The file is
// read on first use. Asset is safe for concurrent use.
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
		panic(err) // the names are constants; a test reads all of them
	}
	return data
}

// unpack returns a gzip-compressed file of Swagger UI.
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
