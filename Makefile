# Everything that people and CI call. Each target sets up what it needs.

BIN     := bin/moorage
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GO      := CGO_ENABLED=0 go
MODULE  := github.com/moorage-dev/moorage
LDFLAGS := -s -w -X main.version=$(VERSION) -X $(MODULE)/internal/sandbox/gvisor.mended=yes
ENGINE  := $(CURDIR)/.cache/engine/go.work

.PHONY: console build setup demo test test-slow bench soak generate release clean

# The engine's source with its faults mended; see internal/sandbox/gvisor/mend.
$(ENGINE): go.mod go.work $(wildcard internal/sandbox/gvisor/mend/*)
	$(GO) run ./internal/sandbox/gvisor/mend -out $(@D)

build: $(ENGINE) ## builds bin/moorage, static, with the engine's program in it
	@mkdir -p .cache/build
	GOWORK=$(ENGINE) $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o .cache/build/ ./cmd/moorage ./cmd/engine
	@mkdir -p $(dir $(BIN))
	$(GO) run ./internal/sandbox/engine/pack $(BIN) .cache/build/moorage .cache/build/engine

setup: ## installs what the demo and the tests need and this machine lacks
	scripts/setup.sh

demo: setup build ## deploys agents into sandboxes, talks to them, and has a team of them write an article
	scripts/demo.sh

test: setup build ## all tests that CI runs
	scripts/test.sh

test-slow: setup build ## long and heavy tests
	MOORAGE_SLOW=1 scripts/test.sh

bench: setup build ## the benchmark table
	scripts/bench.sh

soak: setup build ## 1,000 calls while the server is killed five times, then half an hour of random lives
	cd compat && go test -count=1 -timeout 60m -run TestSoak -v . -args -soak -lives 30m

console: ## builds the web console from web/ into the binary's sources
	cd web && npm ci --silent && npm run --silent build

release: ## builds the archives for amd64 and arm64 into dist/
	scripts/release.sh

generate: ## regenerates the AWS wire types from the pinned service models
	go generate ./internal/aws/...

clean:
	rm -rf bin .cache
