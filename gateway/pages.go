package gateway

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/agentgw/agentgw/gateway/payload"
)

// pages keep the bytes of lists that were answered, and their compressed forms.
// A page is given again only while what it is made of is the very same. The ones
// used longest ago go first; all do when a reload changes who may see what.
type pages struct {
	mu       sync.Mutex
	lru      *simplelru.LRU[pageKey, *keptPage]
	bytes    int64 // as it was counted when each was last used
	maxBytes int64
	cleared  uint64 // how often
}

// pageKey is the hash of whose list it is, what was asked for and where the walk
// stands.
type pageKey [32]byte

// madeOf is the hash of the snapshots, details and failures that a page shows.
type madeOf [32]byte

// page is a list's answer, ready to be sent.
type page struct {
	body     *payload.Payload
	etag     string
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

// generation is that of the pages now: what is made of an older state is not
// kept any more.
func (p *pages) generation() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cleared
}

// put keeps a page that was made since that generation in place of the one of
// that key. If somebody has made the very same meanwhile, that one is given back,
// so that all share its compressed forms.
func (p *pages) put(k pageKey, of madeOf, made page, generation uint64) page {
	p.mu.Lock()
	defer p.mu.Unlock()
	if kept, ok := p.lru.Get(k); ok && kept.of == of {
		return kept.page
	}
	kept := &keptPage{of: of, page: made}
	if generation != p.cleared || kept.size() > p.maxBytes {
		return made
	}
	p.lru.Remove(k)
	p.lru.Add(k, kept)
	p.count(kept)
	return made
}

// keptPageSize is what a page takes beside its body, in bytes; compressed, that
// its coded forms, which are made after it was kept, take about so much of it.
const (
	keptPageSize = 512
	compressed   = 4
)

func (k *keptPage) size() int64 {
	plain := int64(len(k.page.body.Plain()))
	return max(k.page.body.Size(), plain+plain/compressed) + keptPageSize
}

// count takes note of a page's size, which grows with its compressed forms, and
// lets go of others until all fit.
func (p *pages) count(kept *keptPage) {
	size := kept.size()
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
	p.cleared++
}

// size is the memory that the pages take, in bytes.
func (p *pages) size() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}
