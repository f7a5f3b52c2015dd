package problem

import (
	"net/http"

	"github.com/agentgw/agentgw/normalize"
)

// verdict is what an outcome says of the backend.
type verdict uint8

const (
	VerdictFailure verdict = iota
	VerdictSuccess
	VerdictNeutral // it says nothing of the backend
)

// stalePolicy is whether an older answer may stand in.
type stalePolicy uint8

const (
	staleNo    stalePolicy = iota // this failure is told
	StaleYes                      // the backend could not be asked
	StaleNever                    // it could, and what was known is void
)

// Outcome is everything that follows from a kind of failure.
type Outcome struct {
	status  int
	Code    Code
	Breaker verdict
	Stale   stalePolicy
	// Lost: a write that ends so may have been done, or not.
	Lost bool
	// Retry: a read that ends so may fare better at once.
	Retry bool
}

// Outcomes is the one table over normalize.Kind (contract, section 9). A test
// fails if a kind is missing.
var Outcomes = map[normalize.Kind]Outcome{
	normalize.KindInternal:       {http.StatusInternalServerError, CodeInternal, VerdictNeutral, staleNo, true, false},
	normalize.KindCanceled:       {http.StatusGatewayTimeout, CodeUpstreamTimeout, VerdictNeutral, staleNo, true, false},
	normalize.KindUnsupported:    {http.StatusNotImplemented, CodeOperationUnsupported, VerdictNeutral, staleNo, false, false},
	normalize.KindNotFound:       {http.StatusNotFound, CodeAgentNotFound, VerdictSuccess, StaleNever, false, false},
	normalize.KindNoRoute:        {http.StatusBadGateway, CodeUpstreamError, VerdictNeutral, StaleNever, false, false},
	normalize.KindAuth:           {http.StatusBadGateway, CodeUpstreamAuthFailed, VerdictNeutral, StaleNever, false, false},
	normalize.KindRejected:       {http.StatusUnprocessableEntity, CodeUpstreamRejected, VerdictNeutral, staleNo, false, false},
	normalize.KindRateLimited:    {http.StatusTooManyRequests, CodeUpstreamRateLimited, VerdictNeutral, StaleYes, false, false},
	normalize.KindUnavailable:    {http.StatusServiceUnavailable, CodeUpstreamUnavailable, VerdictFailure, StaleYes, false, true},
	normalize.KindUpstream:       {http.StatusBadGateway, CodeUpstreamError, VerdictFailure, StaleYes, true, true},
	normalize.KindGatewayTimeout: {http.StatusGatewayTimeout, CodeUpstreamTimeout, VerdictFailure, StaleYes, true, true},
	normalize.KindConnect:        {http.StatusBadGateway, CodeUpstreamError, VerdictFailure, StaleYes, false, true},
	normalize.KindReset:          {http.StatusBadGateway, CodeUpstreamError, VerdictFailure, StaleYes, true, true},
	normalize.KindTLS:            {http.StatusBadGateway, CodeUpstreamError, VerdictFailure, StaleYes, false, false},
	normalize.KindConnectTimeout: {http.StatusGatewayTimeout, CodeUpstreamTimeout, VerdictFailure, StaleYes, false, true},
	normalize.KindTimeout:        {http.StatusGatewayTimeout, CodeUpstreamTimeout, VerdictFailure, StaleYes, true, true},
	normalize.KindExpired:        {http.StatusGatewayTimeout, CodeUpstreamTimeout, VerdictNeutral, StaleYes, false, false},
	normalize.KindDeadline:       {http.StatusGatewayTimeout, CodeUpstreamTimeout, VerdictNeutral, StaleYes, true, false},
	normalize.KindBodyTimeout:    {http.StatusGatewayTimeout, CodeUpstreamTimeout, VerdictFailure, StaleYes, true, false},
	normalize.KindCut:            {http.StatusBadGateway, CodeUpstreamError, VerdictFailure, StaleYes, true, true},
	normalize.KindBadResponse:    {http.StatusBadGateway, CodeUpstreamBadResponse, VerdictFailure, StaleYes, true, false},
	normalize.KindTooLarge:       {http.StatusBadGateway, CodeUpstreamBadResponse, VerdictNeutral, staleNo, true, false},
	normalize.KindRedirect:       {http.StatusBadGateway, CodeUpstreamBadResponse, VerdictNeutral, staleNo, false, false},
	normalize.KindFailureReply:   {http.StatusBadGateway, CodeUpstreamBadResponse, VerdictNeutral, staleNo, false, false},
	normalize.KindBreakerOpen:    {http.StatusServiceUnavailable, CodeUpstreamUnavailable, VerdictNeutral, StaleYes, false, false},
	normalize.KindBusy:           {http.StatusServiceUnavailable, CodeUpstreamUnavailable, VerdictNeutral, StaleYes, false, false},
}

func VerdictOf(err error) verdict { return Outcomes[normalize.KindOf(err)].Breaker }
