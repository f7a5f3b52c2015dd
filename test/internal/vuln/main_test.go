package main

import "testing"

// TestDecode: an advisory counts as reached if a trace of it ends in a function.
func TestDecode(t *testing.T) {
	found, err := decode([]byte(`{"config": {}} {"SBOM": {"modules": []}} {"osv": {"id": "GO-1"}}
{"finding": {"osv": "GO-1", "fixed_version": "v1.1.0", "trace": [{"module": "m", "version": "v1.0.0"}]}}
{"finding": {"osv": "GO-1", "fixed_version": "v1.1.0", "trace": [{"module": "m", "version": "v1.0.0", "package": "m/p", "function": "F"}, {"module": "agentgw", "function": "main"}]}}
{"finding": {"osv": "GO-2", "fixed_version": "v1.1.0", "trace": [{"module": "n", "version": "v1.0.0"}]}}`))
	if err != nil || len(found) != 2 || !found[advisory{"GO-1", "m", "v1.0.0", "v1.1.0"}] || found[advisory{"GO-2", "n", "v1.0.0", "v1.1.0"}] {
		t.Errorf("%v, %v", found, err)
	}
	if _, err := decode([]byte(`{"config": {}}`)); err == nil {
		t.Error("a scan of nothing passes")
	}
	if _, err := decode([]byte(`{"config"`)); err == nil {
		t.Error("output that was cut off passes")
	}
}
