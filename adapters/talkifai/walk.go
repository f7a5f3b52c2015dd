package talkifai

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

const (
	pageLimit = 100      // the documented maximum
	maxPages  = 200      // the walk ends there, as partial
	maxBytes  = 64 << 20 // of all pages together; each agent's JSON is kept
)

// walk reads all pages. It ends when hasNext is false; total is ignored. The list
// is partial if a page brings no new agent or has another number than asked for, and
// if a later page cannot be read.
func (a *Adapter) walk(ctx context.Context, cred adapters.Credential) (adapters.Listing, error) {
	var listing adapters.Listing
	seen := map[string]bool{}
	size := 0
	for number := 1; ; number++ {
		if number > maxPages {
			listing.Partial = partial(fmt.Sprintf("the list does not end within %d pages", maxPages))
			return listing, nil
		}
		page, err := a.page(ctx, cred, number)
		if err != nil {
			return interrupted(ctx, listing, err)
		}
		if size += page.size; size > a.maxBytes || len(listing.Agents)+len(page.Agents) > adapters.MaxRows {
			return adapters.Listing{}, tooLarge(fmt.Sprintf("the list has over %d agents or %d bytes", adapters.MaxRows, a.maxBytes))
		}
		fresh := 0
		listing.Warnings = append(listing.Warnings, page.Warnings...)
		for _, agent := range page.Agents {
			if !seen[agent.NativeID] {
				seen[agent.NativeID] = true
				listing.Agents = append(listing.Agents, agent)
				fresh++
			}
		}
		switch {
		case page.number != 0 && page.number != number:
			listing.Partial = partial(fmt.Sprintf("asked for page %d, got page %d", number, page.number))
			return listing, nil
		case page.open:
			listing.Partial = partial(fmt.Sprintf("page %d does not say whether there are more", number))
			return listing, nil
		case !page.hasNext:
			return adapters.NewListing(provider, listing.Agents, listing.Warnings), nil
		case fresh == 0:
			listing.Partial = partial(fmt.Sprintf("page %d has no new agent, yet says that there are more", number))
			return listing, nil
		}
	}
}

// interrupted returns the agents read before a page failed, as a partial list, or
// the error if there are none or if it makes them void.
func interrupted(ctx context.Context, listing adapters.Listing, err error) (adapters.Listing, error) {
	if len(listing.Agents) == 0 || errors.Is(ctx.Err(), context.Canceled) {
		return adapters.Listing{}, err
	}
	failure, ok := err.(*normalize.Error)
	if !ok || failure.Kind == normalize.KindAuth || failure.Kind == normalize.KindNoRoute {
		return adapters.Listing{}, err
	}
	listing.Partial, listing.Interrupted = failure, true
	return listing, nil
}

func partial(message string) *normalize.Error {
	return &normalize.Error{Kind: normalize.KindBadResponse, Provider: provider, Op: string(adapters.OpList), Message: message}
}

func tooLarge(message string) *normalize.Error {
	return &normalize.Error{Kind: normalize.KindTooLarge, Provider: provider, Op: string(adapters.OpList), Message: message}
}

func (a *Adapter) page(ctx context.Context, cred adapters.Credential, number int) (page, error) {
	query := url.Values{"page": {strconv.Itoa(number)}, "limit": {strconv.Itoa(pageLimit)}}
	list := adapters.Call{Op: adapters.OpList, Method: http.MethodGet, Path: "/agents", Query: query}
	return adapters.Read(ctx, a.client, cred, list, func(r adapters.Response) (page, error) { return decodePage(a.backend, r) })
}
