package telemetry

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
)

// counters are the instruments that count events, by labels with few values.
type counters struct {
	cacheReads         counter
	cacheRefusals      counter
	cacheEvictions     counter
	coalescedReads     counter
	retries            counter
	incompleteLists    counter
	idempotentCreates  counter
	refusals           counter
	migrationSteps     counter
	shadowReads        counter
	shadowMismatches   counter
	breakerTransitions counter
	authFailures       counter
	reloads            counter

	cacheResults []string // label values, for InitBackendCounters
}

func (c *counters) create(meter metric.Meter) error {
	var errs []error
	create := func(name, description string, labels ...string) counter {
		created, err := newCounter(meter, name, description, labels...)
		errs = append(errs, err)
		return created
	}
	c.cacheReads = create("agentgw.cache.requests", "Reads through the cache, by how they were answered.", "backend", "result")
	c.cacheRefusals = create("agentgw.cache.refused", "Answers that were not kept because the cache is full.", "backend")
	c.cacheEvictions = create("agentgw.cache.evicted", "Answers, kept for the case that their backend fails, that made room for others.", "backend")
	c.coalescedReads = create("agentgw.coalesced.requests", "Reads that shared another one's request to the backend.", "backend")
	c.retries = create("agentgw.upstream.retries", "Requests to backends that were sent once more after a failure.", "backend")
	c.incompleteLists = create("agentgw.list.incomplete", "Lists in which this backend's part was stale, partial or missing.", "backend")
	c.idempotentCreates = create("agentgw.idempotent.requests", "Creates with an Idempotency-Key, by what became of them.", "result")
	c.refusals = create("agentgw.refused", "Connections and requests that were turned away to protect the others, by what for.", "reason")
	c.migrationSteps = create("agentgw.migration.steps", "Steps of migrations between backends, by how they ended.", "step", "result")
	c.shadowReads = create("agentgw.migration.shadow.reads", "Targets that were read beside their source.")
	c.shadowMismatches = create("agentgw.migration.shadow.mismatch", "Fields of such a target that were not as planned.", "field")
	c.breakerTransitions = create("agentgw.breaker.transitions", "Changes of a breaker's state.", "backend", "from", "to")
	c.authFailures = create("agentgw.auth.failures", "Requests refused for their key.", "reason")
	c.reloads = create("agentgw.config.reloads", "Reloads of the configuration.", "result")
	return errors.Join(errs...)
}

// LabelValues are the values that the counters' labels can have, other than backends.
type LabelValues struct{ CacheResults, AuthFailures, Refusals, IdempotentCreates, MigrationSteps, Fields []string }

// InitCounters makes the series of these label values appear with the value zero, so that a
// query sees their first increase. Call it before InitBackendCounters.
func (t *Telemetry) InitCounters(v LabelValues) {
	for _, by := range []struct {
		counter counter
		values  []string
	}{
		{t.authFailures, v.AuthFailures}, {t.refusals, v.Refusals}, {t.idempotentCreates, v.IdempotentCreates},
		{t.shadowMismatches, v.Fields}, {t.reloads, []string{"ok", "error"}},
	} {
		for _, value := range by.values {
			by.counter.add(0, value)
		}
	}
	for _, step := range v.MigrationSteps {
		t.migrationSteps.add(0, step, "ok")
		t.migrationSteps.add(0, step, "error")
	}
	t.shadowReads.add(0)
	t.cacheResults = v.CacheResults
}

// InitBackendCounters does the same for the series of a backend.
func (t *Telemetry) InitBackendCounters(backend string) {
	for _, c := range []counter{t.cacheRefusals, t.cacheEvictions, t.coalescedReads, t.retries, t.incompleteLists} {
		c.add(0, backend)
	}
	for _, result := range t.cacheResults {
		t.cacheReads.add(0, backend, result)
	}
	for _, change := range [][2]string{{"closed", "open"}, {"open", "half_open"}, {"half_open", "open"}, {"half_open", "closed"}} {
		t.breakerTransitions.add(0, backend, change[0], change[1])
	}
}

// CountCacheRead counts a read through the cache, by its result.
func (t *Telemetry) CountCacheRead(backend, result string) { t.cacheReads.add(1, backend, result) }

// CountCacheRefusal counts an answer that the full cache did not keep.
func (t *Telemetry) CountCacheRefusal(backend string) { t.cacheRefusals.add(1, backend) }

// CountCacheEviction counts an answer that the cache evicted to make room.
func (t *Telemetry) CountCacheEviction(backend string) { t.cacheEvictions.add(1, backend) }

// CountCoalescedRead counts a read that shared the upstream request of another.
func (t *Telemetry) CountCoalescedRead(backend string) { t.coalescedReads.add(1, backend) }

// CountRetry counts an upstream request that was sent once more.
func (t *Telemetry) CountRetry(backend string) { t.retries.add(1, backend) }

// CountIncompleteList counts a list in which the backend's part was not complete.
func (t *Telemetry) CountIncompleteList(backend string) { t.incompleteLists.add(1, backend) }

// CountIdempotentCreate counts a create with an Idempotency-Key, by its result.
func (t *Telemetry) CountIdempotentCreate(result string) { t.idempotentCreates.add(1, result) }

// CountRefusal counts a connection or request that was refused to protect the others.
func (t *Telemetry) CountRefusal(reason string) { t.refusals.add(1, reason) }

// CountMigrationStep counts a step of a migration; the result is ok or error.
func (t *Telemetry) CountMigrationStep(step, result string) { t.migrationSteps.add(1, step, result) }

// CountShadowRead counts a migration's target that was read beside its source.
func (t *Telemetry) CountShadowRead() { t.shadowReads.add(1) }

// CountShadowMismatch counts a field of such a target that was not as planned.
func (t *Telemetry) CountShadowMismatch(field string) { t.shadowMismatches.add(1, field) }

// CountBreakerTransition counts a change of a circuit breaker's state.
func (t *Telemetry) CountBreakerTransition(backend, from, to string) {
	t.breakerTransitions.add(1, backend, from, to)
}

// CountAuthFailure counts a request that was refused for its key.
func (t *Telemetry) CountAuthFailure(reason string) { t.authFailures.add(1, reason) }

// CountReload counts a reload of the configuration; the result is ok or error.
func (t *Telemetry) CountReload(result string) { t.reloads.add(1, result) }
