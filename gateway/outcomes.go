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
	// retry: a read that ends so may fare better at once.
	retry bool
}

// outcomes is the one table over normalize.Kind (contract, section 9). A test
// fails if a kind is missing.
var outcomes = map[normalize.Kind]outcome{
	normalize.KindInternal:       {http.StatusInternalServerError, CodeInternal, verdictNeutral, staleNo, true, false},
	normalize.KindCanceled:       {http.StatusGatewayTimeout, CodeUpstreamTimeout, verdictNeutral, staleNo, true, false},
	normalize.KindUnsupported:    {http.StatusNotImplemented, CodeOperationUnsupported, verdictNeutral, staleNo, false, false},
	normalize.KindNotFound:       {http.StatusNotFound, CodeAgentNotFound, verdictSuccess, staleNever, false, false},
	normalize.KindNoRoute:        {http.StatusBadGateway, CodeUpstreamError, verdictNeutral, staleNever, false, false},
	normalize.KindAuth:           {http.StatusBadGateway, CodeUpstreamAuthFailed, verdictNeutral, staleNever, false, false},
	normalize.KindRejected:       {http.StatusUnprocessableEntity, CodeUpstreamRejected, verdictNeutral, staleNo, false, false},
	normalize.KindRateLimited:    {http.StatusTooManyRequests, CodeUpstreamRateLimited, verdictNeutral, staleYes, false, false},
	normalize.KindUnavailable:    {http.StatusServiceUnavailable, CodeUpstreamUnavailable, verdictFailure, staleYes, false, true},
	normalize.KindUpstream:       {http.StatusBadGateway, CodeUpstreamError, verdictFailure, staleYes, true, true},
	normalize.KindGatewayTimeout: {http.StatusGatewayTimeout, CodeUpstreamTimeout, verdictFailure, staleYes, true, true},
	normalize.KindConnect:        {http.StatusBadGateway, CodeUpstreamError, verdictFailure, staleYes, false, true},
	normalize.KindReset:          {http.StatusBadGateway, CodeUpstreamError, verdictFailure, staleYes, true, true},
	normalize.KindTLS:            {http.StatusBadGateway, CodeUpstreamError, verdictFailure, staleYes, false, false},
	normalize.KindConnectTimeout: {http.StatusGatewayTimeout, CodeUpstreamTimeout, verdictFailure, staleYes, false, true},
	normalize.KindTimeout:        {http.StatusGatewayTimeout, CodeUpstreamTimeout, verdictFailure, staleYes, true, true},
	normalize.KindExpired:        {http.StatusGatewayTimeout, CodeUpstreamTimeout, verdictNeutral, staleYes, false, false},
	normalize.KindDeadline:       {http.StatusGatewayTimeout, CodeUpstreamTimeout, verdictNeutral, staleYes, true, false},
	normalize.KindBodyTimeout:    {http.StatusGatewayTimeout, CodeUpstreamTimeout, verdictFailure, staleYes, true, false},
	normalize.KindCut:            {http.StatusBadGateway, CodeUpstreamError, verdictFailure, staleYes, true, true},
	normalize.KindBadResponse:    {http.StatusBadGateway, CodeUpstreamBadResponse, verdictFailure, staleYes, true, false},
	normalize.KindTooLarge:       {http.StatusBadGateway, CodeUpstreamBadResponse, verdictNeutral, staleNo, true, false},
	normalize.KindRedirect:       {http.StatusBadGateway, CodeUpstreamBadResponse, verdictNeutral, staleNo, false, false},
	normalize.KindFailureReply:   {http.StatusBadGateway, CodeUpstreamBadResponse, verdictNeutral, staleNo, false, false},
	normalize.KindBreakerOpen:    {http.StatusServiceUnavailable, CodeUpstreamUnavailable, verdictNeutral, staleYes, false, false},
	normalize.KindBusy:           {http.StatusServiceUnavailable, CodeUpstreamUnavailable, verdictNeutral, staleYes, false, false},
}

func verdictOf(err error) verdict { return outcomes[normalize.KindOf(err)].breaker }
