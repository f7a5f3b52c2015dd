package gateway

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/agentgw/agentgw/gateway/payload"
)

// pages keep the bytes of lists that were answered, and their compressed forms,
// for as long as the snapshots that they are made of are served. The ones used
// longest ago go first.
type pages struct {
	mu       sync.Mutex
	lru      *simplelru.LRU[pageKey, *keptPage]
	bytes    int64 // as it was counted when each was last used
	maxBytes int64
}

// pageKey is the hash of whose list it is, what was asked for and where the walk
// stands.
type pageKey [32]byte

// madeOf is the hash of the snapshots, details and failures that a page shows.
type madeOf [32]byte

// page is a list's answer, ready to be sent.
type page struct {
	body *payload.Payload
	etag string
	// oldest is when the oldest part of it was read; the zero time if none was.
	oldest   time.Time
	complete bool
}

type keptPage struct {
	of      madeOf
	page    page
	counted int64
}

func newPages() *pages {
	p := &pages{}
	var err error
	p.lru, err = simplelru.NewLRU(1<<20, func(_ pageKey, kept *keptPage) { p.bytes -= kept.counted })
	if err != nil { // the number is constant; the bound that counts is in bytes
		panic(err)
	}
	return p
}

// get is the page of that key if it is still made of the same.
func (p *pages) get(k pageKey, of madeOf) (page, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept, ok := p.lru.Get(k)
	if !ok || kept.of != of {
		return page{}, false
	}
	p.count(kept)
	return kept.page, true
}

// put keeps a page in place of the one of that key.
func (p *pages) put(k pageKey, of madeOf, made page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lru.Remove(k)
	kept := &keptPage{of: of, page: made}
	p.lru.Add(k, kept)
	p.count(kept)
}

// keptPageSize is what a page takes beside its body, in bytes.
const keptPageSize = 512

// count takes note of a page's size, which grows with its compressed forms, and
// lets go of others until all fit.
func (p *pages) count(kept *keptPage) {
	size := kept.page.body.Size() + keptPageSize
	p.bytes += size - kept.counted
	kept.counted = size
	for p.bytes > p.maxBytes && p.lru.Len() > 0 {
		p.lru.RemoveOldest()
	}
}

// limit sets the bound.
func (p *pages) limit(maxBytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.maxBytes = maxBytes
}

// clear forgets all pages.
func (p *pages) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lru.Purge()
}

// size is the memory that the pages take, in bytes.
func (p *pages) size() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}
