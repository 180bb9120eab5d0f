# make demo            everything that is missing is installed, then a moving flow graph: open the printed URL
# make demo ARGS="--for 60s --verify"
# make chaos KILLS=50  every process is killed under the same workload; nothing may be lost or doubled
# make test            every check and test; the last line says how many passed and failed
.PHONY: help demo dashboard chaos build test chart test-k8s simulate fuzz bench bench-stages bench-ingest bench-store bench-live bench-api compare flamegraph clean

SHELL := bash
export CARGO_TARGET_DIR ?= $(or $(WEIR_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/weir)/target

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' Makefile

demo: build ## start everything with a demo workload; ARGS="--for 60s --verify" checks every count
	@"$(CARGO_TARGET_DIR)/release/weir" demo $(ARGS)

dashboard: ## build the page that query-api takes in, when something of it has changed
	@tools/install
	@tools/dashboard

chaos: build ## kill every process KILLS times under the demo workload, then check every count; ARGS="--seed 7"
	@"$(CARGO_TARGET_DIR)/release/weir" chaos --kills $(or $(KILLS),5) $(ARGS)

build: ## install what is missing and build the release binary
	@tools/install
	@tools/dashboard
	@cargo build --release --locked -p weir
	@echo "built: $(CARGO_TARGET_DIR)/release/weir"

test: ## install what is missing and run every check and test
	@tools/test

chart: ## lint the Helm chart and check everything it makes, without a cluster; ARGS=--write makes the manifests anew
	@tools/helm $(ARGS)

test-k8s: ## install, upgrade, roll back and uninstall the chart in a Kubernetes control plane; ARGS=--write makes its tables anew
	@source tools/environment && tools/with-kubernetes "$$WEIR_TEST_PYTHON" tools/kubernetes $(ARGS)

simulate: ## crash processor and store at every step on simulated servers; SEEDS=2000, FROM=1
	@tools/install
	@cargo run --release --locked -q -p simulator -- --seeds $(or $(SEEDS),200) --from $(or $(FROM),1)

fuzz: ## the OTLP views against prost on bytes that a fuzzer finds, with AddressSanitizer; SECONDS=600
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	@cd stream-processor/otlp && RUSTC_BOOTSTRAP=1 cargo fuzz run prost \
		--target-dir "$(CARGO_TARGET_DIR)/fuzz" -- -max_total_time=$(or $(SECONDS),600) -max_len=2048

bench: build ## what exactly-once costs and how long recovery takes, on a real Kafka; ARGS="--only recovery"
	@WEIR_BINARY="$(CARGO_TARGET_DIR)/release/weir" tools/with-servers \
		cargo bench --locked -q -p stream-processor --bench exactly_once -- $(ARGS)

bench-stages: ## what each stage takes for a span, without servers; ARGS="decode", ARGS="--save-baseline before"
	@tools/install
	@cargo bench --locked -q -p reader -p stitcher -p stream-processor -p ingest --bench stages -- $(ARGS)

bench-ingest: build ## what it costs to take spans, over HTTP and gRPC, into a real Kafka; ARGS="--only http"
	@WEIR_BINARY="$(CARGO_TARGET_DIR)/release/weir" tools/with-servers \
		cargo bench --locked -q -p ingest --bench cost -- $(ARGS)

bench-store: build ## what it costs to store raw spans, and their size in ClickHouse; ARGS="--rounds 1"
	@WEIR_BINARY="$(CARGO_TARGET_DIR)/release/weir" tools/with-servers \
		cargo bench --locked -q -p stream-processor --bench store -- $(ARGS)

bench-live: build ## 10,000 subscribers on one core, and the time from a span to a frame; ARGS="--quick", ARGS="--only river"
	@cargo build --release --locked -p query-api -p stream-processor -p loadtest
	@WEIR_BINARY="$(CARGO_TARGET_DIR)/release/weir" WEIR_LIVE_QUERY_API="$(CARGO_TARGET_DIR)/release/query-api" \
		WEIR_LIVE_PROCESSOR="$(CARGO_TARGET_DIR)/release/stream-processor" tools/with-servers \
		"$(CARGO_TARGET_DIR)/release/live" --json "$(CARGO_TARGET_DIR)/live.json" $(ARGS)

bench-api: build ## how long questions take on 30 days of 1,000 services, and a hundred dashboards; ARGS="--questions 50"
	@WEIR_BINARY="$(CARGO_TARGET_DIR)/release/weir" tools/with-servers tools/bench-api \
		--json "$(CARGO_TARGET_DIR)/api.json" $(ARGS)
	@$(MAKE) --no-print-directory bench-live ARGS="--only dashboards"

compare: build ## Weir beside the OpenTelemetry Collector on the same spans; ARGS="--quick", ARGS="--only columns --spans 4000000"
	@tools/install --compare
	@cargo build --release --locked -p stream-processor -p loadtest --bins --example exactly_once_off
	@source tools/environment && WEIR_BINARY="$(CARGO_TARGET_DIR)/release/weir" \
		WEIR_COMPARE_PROCESSOR="$(CARGO_TARGET_DIR)/release/stream-processor" \
		WEIR_COMPARE_OFF="$(CARGO_TARGET_DIR)/release/examples/exactly_once_off" tools/with-servers \
		"$(CARGO_TARGET_DIR)/release/compare" --json "$(CARGO_TARGET_DIR)/compare.json" $(ARGS)

flamegraph: build ## where the processor's CPU time goes, drawn into docs/performance/; ARGS="single", SPANS=4000000
	@cargo build --release --locked -p stream-processor -p loadtest --bins
	@SPANS=$(SPANS) tools/flamegraph $(ARGS)

clean: ## remove what was compiled
	cargo clean
