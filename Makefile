# rtcswarm: `make demo` shows it, `make test` proves it. Each does the set-up that it needs, and says in one line what the machine lacks.

CARGO ?= cargo
CC ?= cc
CXX ?= c++
PYTHON ?= python3
BUILD ?= build
RELEASE := target/release
# Tools of the tests' own (ruff, mypy, pytest, websockets) go here, not into the system.
VENV ?= $(BUILD)/venv
WARNINGS := -Wall -Wextra -Wpedantic -Werror

LINK := -L$(RELEASE) -lrtcswarm -Wl,-rpath,$(CURDIR)/$(RELEASE)

.PHONY: build examples demo page test lint bench header deb docs fuzz tsan miri clean
.DEFAULT_GOAL := build

SCRIPTS := $(wildcard .ci/run scripts/*.sh tests/*/*.sh page/*.sh bindings/*/*.sh)

# $(call need,command,what to do about it)
need = command -v $(1) >/dev/null || { echo "make: $(1) is missing: $(2)" >&2; exit 1; }

# Without --quiet: the first build takes minutes, and should be seen to.
build:
	@$(call need,$(CARGO),install Rust 1.85 or newer)
	$(CARGO) build --release
	@$(MAKE) --no-print-directory --silent $(RELEASE)/$(RTCSWARM_REAL)
	@ln -sf $(RTCSWARM_REAL) $(RELEASE)/$(RTCSWARM_SONAME)

examples: build
	@$(call need,$(CC),install a C compiler)
	@$(call need,$(CXX),install a C++17 compiler)
	@mkdir -p $(BUILD)
	$(CC) -std=c99 -O2 $(WARNINGS) -Iinclude examples/chat.c -o $(BUILD)/chat-c $(LINK)
	$(CC) -std=c99 -O2 $(WARNINGS) -Iinclude examples/callbacks.c -o $(BUILD)/callbacks $(LINK)
	$(CC) -std=c99 -O2 $(WARNINGS) -Iinclude examples/media_send.c -o $(BUILD)/media-send $(LINK)
	$(CC) -std=c99 -O2 $(WARNINGS) -Iinclude examples/media_record.c -o $(BUILD)/media-record $(LINK)
	$(CXX) -std=c++17 -O2 $(WARNINGS) -Iinclude -Ibindings/c examples/chat.cpp -o $(BUILD)/chat-cpp $(LINK)

# With a peer in Swift and one in Kotlin, where the tools of those languages are. HOLD=1 stays up and says how to join, by a browser too if there is Node to build the page with.
demo: examples
	@$(call need,$(PYTHON),install Python 3.9 or newer)
	@bindings/kotlin/build-chat.sh
	@bindings/swift/build-chat.sh --if-there
	@$(if $(HOLD),$(MAKE) --no-print-directory page || echo "demo: going on without the page" >&2)
	@$(PYTHON) scripts/demo.py --target $(RELEASE) --build $(BUILD) $(if $(HOLD),--hold)

# What browsers are shown, in one file: with the JS original from its registry, pinned, and nothing of it in this repository.
page: $(BUILD)/mesh.html
$(BUILD)/mesh.html: $(addprefix page/,index.html style.css main.js room.js mesh.js graph.js tiles.js share.js build.mjs package-lock.json)
	@$(call need,npm,the page for browsers is built with Node 20 or newer)
	npm ci --prefix page --ignore-scripts --no-progress --silent
	node page/build.mjs $@

# The header is made from src/ffi; tests/header.rs holds it to that.
header:
	RTCSWARM_BLESS=1 $(CARGO) test --quiet --test header

test: lint
	scripts/test.sh

lint: $(VENV)/ready
	$(CARGO) fmt --check
	scripts/vendor.sh
	$(CARGO) clippy --quiet --workspace --all-targets -- -D warnings
	$(VENV)/bin/ruff check --quiet bindings/python examples scripts tests/browser/lib
	$(VENV)/bin/ruff format --quiet --check bindings/python examples scripts tests/browser/lib bindings/kotlin/src/test/python
	@if command -v shellcheck >/dev/null; then shellcheck --severity=warning $(SCRIPTS); \
	elif [ "$(CI)" = true ]; then echo "make: shellcheck is missing" >&2; exit 1; \
	else echo "make: going on without shellcheck" >&2; fi

$(VENV)/ready: bindings/python/requirements-test.txt
	@$(call need,$(PYTHON),install Python 3.9 or newer)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Beside libdatachannel, which this builds: needs cmake, a C++ compiler and libclang. BENCH=--quick for a short run.
bench: build
	@$(call need,cmake,it builds the rival)
	$(CARGO) build --release --quiet --manifest-path benches/Cargo.toml
	benches/target/release/rtcswarm-bench $(BENCH)

# Each target for SECONDS (default 60), from the inputs that are kept in fuzz/seeds; what is found on the way grows in fuzz/corpus. Needs
# cargo-fuzz and a nightly toolchain.
SECONDS ?= 60
fuzz:
	@$(call need,cargo-fuzz,cargo install cargo-fuzz)
	@for target in $$($(CARGO) fuzz list); do \
		mkdir -p fuzz/corpus/$$target; \
		echo "fuzz: $$target"; \
		nice $(CARGO) +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=$(SECONDS) \
			-timeout=25 -rss_limit_mb=2048 -print_final_stats=1 || exit 1; done

# The C tests under ThreadSanitizer, and what is pure under Miri. Both need nightly Rust with rust-src, Miri the component miri as well; neither
# is part of `make test`, for they build everything anew. See docs/fuzzing.md.
tsan:
	CI=true tests/c/run.sh threads
PURE ?= link::sdp link::sections link::pieces link::repeats protocol:: media:: net::candidate net::server hub:: mesh:: --skip link::tests \
	--skip swarm:: --skip ffi:: --skip fuzzing --skip no_payload_panics --skip delivered_frames_are_sent_ones
miri:
	MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) +nightly miri test --lib --target-dir target/miri -- $(PURE)

include scripts/install.mk
include scripts/python.mk

# The references: C by doxygen, of the header, and Rust. A warning is a failure; in C so is what is public and says nothing.
docs:
	@$(call need,doxygen,it makes pages of include/rtcswarm.h)
	@mkdir -p $(BUILD)/docs
	doxygen docs/Doxyfile
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --quiet

# Debian packages of the library, its headers and the server, into build/deb.
deb: build
	@RELEASE=$(RELEASE) BUILD=$(BUILD) scripts/make-deb.sh

clean:
	$(CARGO) clean
	rm -rf $(BUILD)
