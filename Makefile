# Everything a developer runs. `make mock` and `make test` need git, make and Go; `make check` needs Node and a C compiler
# besides. Written for GNU make 4.3 and the 3.81 that macOS ships.

GO       ?= go
ARGS     ?=
BENCH    ?= .
FUZZTIME ?= 20s
# Where acceptance/run-docs-example is.
SHARED   ?= ../shared

# Tools, pinned here; the version is part of the path, so that a bump installs anew.
GOLANGCI_VERSION := v2.15.0
REDOCLY_VERSION  := 2.77.0
GOLANGCI := .bin/golangci-lint-$(GOLANGCI_VERSION)-$(shell $(GO) env GOVERSION)/golangci-lint

# Everything that `make generate` writes.
GENERATED := gen/gen.go gen/stub/stub.go gen/stub/spec.gen.go gen/stub/openapi.yaml gen/stub/openapi.lines

# What `make check` runs, in this order. The tests come last, so that their results end the output.
CHECKS := generate-check tidy-check vet imports lint redocly cross test-model test-race

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help mock build test test-model test-race generate generate-check tidy-check vet lint fix imports cross \
	redocly check examples docs-example mutants bench fuzz clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

## Using it

mock: build ## Run the mock; its flags go into ARGS, as in make mock ARGS='--auth any'
	@bin/qcmock serve $(ARGS)

build: ## Build bin/qcmock
	@$(GO) build -trimpath -o bin/qcmock ./mockserver/cmd/qcmock

test: ## Run the tests, with the race detector where there is a C compiler
	@if $(GO) build -race runtime/cgo 2>/dev/null; then race=-race; else race=; \
		echo 'testing without the race detector, which needs cgo and a C compiler such as gcc'; fi; \
	$(GO) test $$race ./...

mutants: ## Change valid requests one thing at a time, and count what the contract stage catches
	@$(GO) test -count=1 -run '^TestMutants$$' -v ./mockserver

bench: ## Run the Go benchmarks; BENCH picks some by pattern
	@$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

fuzz: ## Run every fuzz test for FUZZTIME (20s) each
	@for package in $$($(GO) list ./...); do \
		for name in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "== $$name in $$package"; \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

## Changing it

generate: ## Write gen and gen/stub from openapi.yaml
	@$(GO) run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen -config gen/config.yaml openapi.yaml
	@$(GO) run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen -config gen/stub/config.yaml openapi.yaml
	@$(GO) run ./gen/internal/specgen openapi.yaml gen/stub

fix: $(GOLANGCI) ## Format the hand-written Go files, and mend what the linter can
	@$(GOLANGCI) fmt
	@$(GOLANGCI) run --allow-parallel-runners --fix ./...

## Gates

check: ## Run every gate that CI runs
	@failed=; \
	for gate in $(CHECKS); do \
		printf '\n== %s\n' "$$gate"; \
		start=$$(date +%s); \
		if $(MAKE) --no-print-directory "$$gate"; then verdict=ok; else verdict=FAILED; failed="$$failed $$gate"; fi; \
		printf -- '-- %s: %s, %s s\n' "$$gate" "$$verdict" $$(($$(date +%s) - start)); \
	done; \
	if [ -n "$$failed" ]; then \
		printf '\nmake check failed at:%s. Run make with that name to see it alone.\n' "$$failed" >&2; exit 1; \
	fi; \
	printf '\nmake check passed.\n'

generate-check: ## Fail when generated files are stale or differ from run to run
	@before=$$(mktemp -d) && trap 'rm -rf "$$before"' EXIT && mkdir -p "$$before/gen/stub" || exit 1; \
	for file in $(GENERATED); do cp $$file "$$before/$$file" 2>/dev/null; done; \
	$(MAKE) --no-print-directory generate || exit 1; \
	stale=; for file in $(GENERATED); do \
		cmp -s $$file "$$before/$$file" || stale="$$stale $$file"; cp $$file "$$before/$$file"; done; \
	$(MAKE) --no-print-directory generate || exit 1; \
	unsteady=; for file in $(GENERATED); do cmp -s $$file "$$before/$$file" || unsteady="$$unsteady $$file"; done; \
	if [ -n "$$stale" ]; then echo "stale, and regenerated just now; review and commit:$$stale" >&2; fi; \
	if [ -n "$$unsteady" ]; then echo "two runs of make generate wrote different:$$unsteady" >&2; fi; \
	[ -z "$$stale$$unsteady" ]

tidy-check: ## Fail when go.mod or go.sum is not tidy
	@$(GO) mod tidy -diff || { echo 'run go mod tidy and commit go.mod and go.sum' >&2; exit 1; }
	@$(GO) mod verify

vet: ## Run go vet
	@$(GO) vet ./...

lint: $(GOLANGCI) ## Run golangci-lint, which keeps the import arrows and the clocks too
	@$(GOLANGCI) run --allow-parallel-runners ./...

imports: ## Fail when gen or client needs a third-party package
	@module=$$($(GO) list -m) || exit 1; \
	found=$$($(GO) list -deps -f '{{if not .Standard}}{{.ImportPath}}{{end}}' ./gen ./client) || exit 1; \
	foreign=$$(printf '%s\n' "$$found" | grep -v -e "^$$module/gen\$$" -e "^$$module/client\$$" -e "^$$module/client/"); \
	if [ -n "$$foreign" ]; then \
		echo "packages gen and client may need only each other and the standard library, but they bring in:" >&2; \
		printf '  %s\n' $$foreign >&2; \
		echo "see who imports one: $(GO) list -deps -f '{{.ImportPath}} {{.Imports}}' ./client | grep PACKAGE" >&2; \
		exit 1; \
	fi

# Without optimization, which takes half as long: whether it builds is all that is asked.
cross: ## Build the client and the mock for macOS and Windows
	@for os in darwin windows; do for arch in amd64 arm64; do \
		echo "$$os/$$arch"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -buildvcs=false -gcflags='all=-N -l' -o /dev/null \
			./client ./mockserver/cmd/qcmock || exit 1; \
	done; done

redocly: ## Lint the contract and the control plane with Redocly, warnings included
	@command -v npx >/dev/null || { \
		echo 'Redocly needs Node: install Node 22 or later, npx included (https://nodejs.org), and try again' >&2; exit 1; }
	@log=$$(mktemp) && trap 'rm -f "$$log"' EXIT && \
	if REDOCLY_TELEMETRY=off npx --yes @redocly/cli@$(REDOCLY_VERSION) lint --lint-config=error openapi.yaml mockserver/control.yaml \
		>"$$log" 2>&1 </dev/null; \
	then echo 'openapi.yaml, mockserver/control.yaml: no errors, no warnings'; \
	else cat "$$log" >&2; exit 1; fi

test-model: ## Play 10,000 random sequences of calls to the mock and to a plain model of it
	@QCAGENTS_SEQUENCES=10000 $(GO) test -count=1 -run '^TestRandomCallsDoWhatAPlainModelDoes$$' ./mockserver/mocktest

test-race: ## Run the tests with the race detector, or fail
	@$(GO) build -race runtime/cgo || { \
		echo 'the race detector needs cgo and a C compiler: install gcc or clang and leave CGO_ENABLED alone' >&2; exit 1; }
	@$(GO) test -race $(if $(CI),-count=1) ./...

examples: build ## Run the examples against the mock; needs Node, Python 3, curl and jq besides
	@.ci/examples

docs-example: build ## Run the Python example of QuantConnect's documentation against the mock
	@SHARED='$(SHARED)' .ci/docs-example

clean: ## Remove what was built and the tools that were installed here
	@rm -rf bin .bin examples/typescript/node_modules

$(GOLANGCI):
	@echo 'installing golangci-lint $(GOLANGCI_VERSION) into .bin'
	@log=$$(mktemp) && trap 'rm -f "$$log"' EXIT && GOBIN='$(CURDIR)/$(@D)' \
		$(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION) >"$$log" 2>&1 || { \
		cat "$$log" >&2; exit 1; }
