package gateway

import (
	"net/http"

	"github.com/agentgw/agentgw/normalize"
)

// verdict is what an outcome says of the backend.
type verdict uint8

const (
	verdictFailure verdict = iota
	verdictSuccess
	verdictNeutral // it says nothing of the backend
)

// stalePolicy is whether an older answer may stand in.
type stalePolicy uint8

const (
	staleNo    stalePolicy = iota // this failure is told
	staleYes                      // the backend could not be asked
	staleNever                    // it could, and what was known is void
)

// outcome is everything that follows from a kind of failure.
type outcome struct {
	status  int
	code    Code
	breaker verdict
	stale   stalePolicy
	// lost: a write that ends so may have been done, or not.
	lost bool
}

// outcomes is the one table over normalize.Kind (contract, section 9). A test
// fails if a kind is missing.
var outcomes = map[normalize.Kind]outcome{
	normalize.KindInternal:       {http.StatusInternalServerError, CodeInternal, verdictNeutral, staleNo, true},
	normalize.KindCanceled:       {http.StatusGatewayTimeout, CodeUpstreamTimeout, verdictNeutral, staleNo, true},
	normalize.KindUnsupported:    {http.StatusNotImplemented, CodeOperationUnsupported, verdictNeutral, staleNo, false},
	normalize.KindNotFound:       {http.StatusNotFound, CodeAgentNotFound, verdictSuccess, staleNever, false},
	normalize.KindNoRoute:        {http.StatusBadGateway, CodeUpstreamError, verdictNeutral, staleNever, false},
	normalize.KindAuth:           {http.StatusBadGateway, CodeUpstreamAuthFailed, verdictNeutral, staleNever, false},
	normalize.KindRejected:       {http.StatusUnprocessableEntity, CodeUpstreamRejected, verdictNeutral, staleNo, false},
	normalize.KindRateLimited:    {http.StatusTooManyRequests, CodeUpstreamRateLimited, verdictNeutral, staleYes, false},
	normalize.KindUnavailable:    {http.StatusServiceUnavailable, CodeUpstreamUnavailable, verdictFailure, staleYes, false},
	normalize.KindUpstream:       {http.StatusBadGateway, CodeUpstreamError, verdictFailure, staleYes, true},
	normalize.KindGatewayTimeout: {http.StatusGatewayTimeout, CodeUpstreamTimeout, verdictFailure, staleYes, true},
	normalize.KindConnect:        {http.StatusBadGateway, CodeUpstreamError, verdictFailure, staleYes, false},
	normalize.KindReset:          {http.StatusBadGateway, CodeUpstreamError, verdictFailure, staleYes, true},
	normalize.KindTLS:            {http.StatusBadGateway, CodeUpstreamError, verdictFailure, staleYes, false},
	normalize.KindConnectTimeout: {http.StatusGatewayTimeout, CodeUpstreamTimeout, verdictFailure, staleYes, false},
	normalize.KindTimeout:        {http.StatusGatewayTimeout, CodeUpstreamTimeout, verdictFailure, staleYes, true},
	normalize.KindExpired:        {http.StatusGatewayTimeout, CodeUpstreamTimeout, verdictNeutral, staleYes, false},
	normalize.KindDeadline:       {http.StatusGatewayTimeout, CodeUpstreamTimeout, verdictNeutral, staleYes, true},
	normalize.KindBodyTimeout:    {http.StatusGatewayTimeout, CodeUpstreamTimeout, verdictFailure, staleYes, true},
	normalize.KindCut:            {http.StatusBadGateway, CodeUpstreamError, verdictFailure, staleYes, true},
	normalize.KindBadResponse:    {http.StatusBadGateway, CodeUpstreamBadResponse, verdictFailure, staleYes, true},
	normalize.KindTooLarge:       {http.StatusBadGateway, CodeUpstreamBadResponse, verdictNeutral, staleNo, true},
	normalize.KindRedirect:       {http.StatusBadGateway, CodeUpstreamBadResponse, verdictNeutral, staleNo, false},
	normalize.KindFailureReply:   {http.StatusBadGateway, CodeUpstreamBadResponse, verdictNeutral, staleNo, false},
	normalize.KindBreakerOpen:    {http.StatusServiceUnavailable, CodeUpstreamUnavailable, verdictNeutral, staleYes, false},
	normalize.KindBusy:           {http.StatusServiceUnavailable, CodeUpstreamUnavailable, verdictNeutral, staleYes, false},
}

func verdictOf(err error) verdict { return outcomes[normalize.KindOf(err)].breaker }
