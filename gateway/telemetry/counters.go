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
	c.cacheReads = create("agentgw.cache.requests", "Reads through the cache, by result.", "backend", "result")
	c.cacheRefusals = create("agentgw.cache.refused", "Results that were not cached because the cache is full.", "backend")
	c.cacheEvictions = create("agentgw.cache.evicted", "Stale entries that were evicted from the full cache; they were kept in case their backend fails.", "backend")
	c.coalescedReads = create("agentgw.coalesced.requests", "Reads that shared the upstream request of another read.", "backend")
	c.retries = create("agentgw.upstream.retries", "Upstream requests that were retried after a failure.", "backend")
	c.incompleteLists = create("agentgw.list.incomplete", "Lists in which the source of this backend was stale, partial or missing.", "backend")
	c.idempotentCreates = create("agentgw.idempotent.requests", "Creates with an Idempotency-Key, by result.", "result")
	c.refusals = create("agentgw.refused", "Connections and requests that were rejected because of a limit, by limit.", "reason")
	c.migrationSteps = create("agentgw.migration.steps", "Steps of migrations, by result.", "step", "result")
	c.shadowReads = create("agentgw.migration.shadow.reads", "Shadow reads: reads of a migration's target alongside its source.")
	c.shadowMismatches = create("agentgw.migration.shadow.mismatch", "Fields whose value in a shadow read differed from the plan.", "field")
	c.breakerTransitions = create("agentgw.breaker.transitions", "State changes of circuit breakers.", "backend", "from", "to")
	c.authFailures = create("agentgw.auth.failures", "Requests without a valid key, by reason.", "reason")
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

// CountCacheRefusal counts a result that the full cache did not take.
func (t *Telemetry) CountCacheRefusal(backend string) { t.cacheRefusals.add(1, backend) }

// CountCacheEviction counts an entry that the full cache evicted.
func (t *Telemetry) CountCacheEviction(backend string) { t.cacheEvictions.add(1, backend) }

// CountCoalescedRead counts a read that shared the upstream request of another.
func (t *Telemetry) CountCoalescedRead(backend string) { t.coalescedReads.add(1, backend) }

// CountRetry counts a retry of an upstream request.
func (t *Telemetry) CountRetry(backend string) { t.retries.add(1, backend) }

// CountIncompleteList counts a list in which the backend's source was not ok.
func (t *Telemetry) CountIncompleteList(backend string) { t.incompleteLists.add(1, backend) }

// CountIdempotentCreate counts a create with an Idempotency-Key, by its result.
func (t *Telemetry) CountIdempotentCreate(result string) { t.idempotentCreates.add(1, result) }

// CountRefusal counts a connection or request that was rejected because of a limit.
func (t *Telemetry) CountRefusal(reason string) { t.refusals.add(1, reason) }

// CountMigrationStep counts a step of a migration; the result is ok or error.
func (t *Telemetry) CountMigrationStep(step, result string) { t.migrationSteps.add(1, step, result) }

// CountShadowRead counts a read of a migration's target alongside its source.
func (t *Telemetry) CountShadowRead() { t.shadowReads.add(1) }

// CountShadowMismatch counts a field whose value in a shadow read differed from the plan.
func (t *Telemetry) CountShadowMismatch(field string) { t.shadowMismatches.add(1, field) }

// CountBreakerTransition counts a change of a circuit breaker's state.
func (t *Telemetry) CountBreakerTransition(backend, from, to string) {
	t.breakerTransitions.add(1, backend, from, to)
}

// CountAuthFailure counts a request without a valid key.
func (t *Telemetry) CountAuthFailure(reason string) { t.authFailures.add(1, reason) }

// CountReload counts a reload of the configuration; the result is ok or error.
func (t *Telemetry) CountReload(result string) { t.reloads.add(1, result) }
