# agentgw. `make help` lists the targets.

VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT     ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
# Without grpc's pages of traces, which nothing serves, the linker can leave out all methods
# that nothing calls: a sixth of the binary.
TAGS       := grpcnotrace
LDFLAGS    := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
# Advisories of known vulnerabilities. Pinned, so that a commit passes or fails for ever: a newer
# version is a commit of its own (`make vuln VULNDB=latest` looks for news).
VULNDB     ?= v0.0.0-20261105234957-e22db6528018
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The race detector needs a C compiler; a machine with only Go and make still
# runs every test, without it.
RACE := $(shell command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 && echo -race)

.PHONY: help build demo test-programs test soak fmt vet lint vuln image bench bench-compare benchmarks fuzz docs console check clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build bin/agentgw.
	go build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/agentgw ./cmd/agentgw

demo: ## Run the gateway with the four vendors emulated; no account needed.
	go run ./cmd/agentgw demo

# Tests run these programs. Built before them, no compiler competes with a test.
export TEST_PROGRAMS = $(CURDIR)/bin/test

test-programs: build
	go run ./test/internal/prebuilt/build $(TEST_PROGRAMS)

# Most tests wait most of the time: eight at once, of three packages, keep two cores busy.
test: test-programs ## Run every test, in a random order, with the race detector where there is a C compiler.
	go test -run '^(TestAllocations.*|TestNoTenantSeesAnother|TestSnapshot_SizeIsCloseToMemory|TestPaginate_ChangesAndFailuresBetweenPages)$$' ./gateway ./gateway/catalog # not under the race detector: it allocates, or is too slow
	go test $(RACE) -shuffle=on -p 3 -parallel 8 -timeout 30m ./...

soak: ## Run mixed load and random faults for SOAK (30m); fail on growth, leaks and responses outside the contract.
	SOAK=$(or $(SOAK),30m) go test -count 1 -v -timeout 0 -run '^TestSoak$$' ./test/soak

fmt: ## Fail if a file is not formatted by gofmt.
	@unformatted="$$(gofmt -l .)"; test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }

vet: ## Run go vet.
	go vet ./...

lint: ## Run staticcheck.
	go run $(STATICCHECK) ./...

vuln: ## Fail if the program can reach a known vulnerability of a module (govulncheck).
	go run ./test/internal/vuln -db $(VULNDB) ./cmd/agentgw

image: ## Build the container image agentgw:VERSION.
	docker build -f deploy/Dockerfile --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) -t agentgw:$(VERSION) -t agentgw .

bench: ## Measure the gateway against bare limits, into docs/performance (needs wrk; ten minutes; measures nginx if it is installed).
	go run ./test/bench

bench-compare: ## Measure this tree and another commit, REF, in one run (needs wrk).
	go run ./test/bench -ref $(or $(REF),HEAD)

benchmarks: ## Run each Go benchmark, and a second of each case of bench, so that they keep working.
	go run ./test/bench -short
	go test -run '^$$' -bench . -benchtime 1x $$(grep -rl --include='*_test.go' '^func Benchmark' . | xargs -n1 dirname | sort -u)

fuzz: ## Run each fuzz target for FUZZTIME (10s).
	@for package in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
	    echo "$$package $$target"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(or $(FUZZTIME),10s) $$package || exit 1; \
	  done; \
	done

docs: ## Write the generated parts of the documentation, and NOTICE, again.
	go test ./gateway -run '^TestExamples$$' -update
	go test ./test/docs -run '^(TestGenerated|TestNotice)$$' -update

console: ## Build the operators' page from gateway/console/web.
	cd gateway/console/web && npm ci && npm run check && npm run build

check: fmt vet lint vuln test benchmarks ## What CI runs: all of the above that can fail.

clean: ## Remove what was built.
	rm -rf bin dist
