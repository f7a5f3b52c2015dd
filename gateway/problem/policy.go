package problem

import (
	"net/http"

	"github.com/agentgw/agentgw/normalize"
)

// Verdict is how a call counts for the health of its backend.
type Verdict uint8

const (
	VerdictFailure Verdict = iota
	VerdictSuccess
	VerdictNeutral // says nothing about the backend's health
)

// StalePolicy is whether a stale response may be served in place of a failure.
type StalePolicy uint8

const (
	StaleNo    StalePolicy = iota // return the failure; the cache entry stays
	StaleYes                      // serve a stale response, if there is one
	StaleNever                    // return the failure and drop the cache entry, which is known to be wrong
)

// Outcome is how the gateway handles a kind of failure.
type Outcome struct {
	status  int
	Code    Code
	Breaker Verdict
	Stale   StalePolicy
	// Ambiguous: a write that failed like this may have been done.
	Ambiguous bool
	// Retry: a read that failed like this may succeed if it is sent again at once.
	Retry bool
}

// Outcomes has the outcome of every normalize.Kind. It is not changed. A test fails if a kind
// is missing.
var Outcomes = map[normalize.Kind]Outcome{
	normalize.KindInternal:       {http.StatusInternalServerError, CodeInternal, VerdictNeutral, StaleNo, true, false},
	normalize.KindCanceled:       {http.StatusGatewayTimeout, CodeUpstreamTimeout, VerdictNeutral, StaleNo, true, false},
	normalize.KindUnsupported:    {http.StatusNotImplemented, CodeOperationUnsupported, VerdictNeutral, StaleNo, false, false},
	normalize.KindNotFound:       {http.StatusNotFound, CodeAgentNotFound, VerdictSuccess, StaleNever, false, false},
	normalize.KindNoRoute:        {http.StatusBadGateway, CodeUpstreamError, VerdictNeutral, StaleNever, false, false},
	normalize.KindAuth:           {http.StatusBadGateway, CodeUpstreamAuthFailed, VerdictNeutral, StaleNever, false, false},
	normalize.KindRejected:       {http.StatusUnprocessableEntity, CodeUpstreamRejected, VerdictNeutral, StaleNo, false, false},
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
	normalize.KindWrongShape:     {http.StatusBadGateway, CodeUpstreamBadResponse, VerdictNeutral, StaleYes, true, false},
	normalize.KindTooLarge:       {http.StatusBadGateway, CodeUpstreamBadResponse, VerdictNeutral, StaleNo, true, false},
	normalize.KindRedirect:       {http.StatusBadGateway, CodeUpstreamBadResponse, VerdictNeutral, StaleNo, false, false},
	normalize.KindFailureReply:   {http.StatusBadGateway, CodeUpstreamBadResponse, VerdictNeutral, StaleNo, false, false},
	normalize.KindBreakerOpen:    {http.StatusServiceUnavailable, CodeUpstreamUnavailable, VerdictNeutral, StaleYes, false, false},
	normalize.KindBusy:           {http.StatusServiceUnavailable, CodeUpstreamUnavailable, VerdictNeutral, StaleYes, false, false},
	normalize.KindOverloaded:     {http.StatusServiceUnavailable, CodeOverloaded, VerdictNeutral, StaleYes, true, false},
}

// VerdictOf returns how a failed call counts for the health of its backend.
func VerdictOf(err error) Verdict { return Outcomes[normalize.KindOf(err)].Breaker }
