# unmasq: what a user or developer does, each in one word. As root on Debian 12 or later; `scripts/setup` installs
# what is missing.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
# How long each fuzz target runs.
FUZZ_SECONDS ?= 60

# A slow or broken download is tried again so often.
export CARGO_NET_RETRY ?= 10

# rustup's place: a shell that was open before the installation does not have it yet.
export PATH := $(HOME)/.cargo/bin:$(PATH)

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
RELEASE := $(TARGET)/release
# A virtual environment with the programs that read our exports: DuckDB and pandas.
PYTHON_ENV := $(TARGET)/venv
export UNMASQ_TEST_PYTHON := $(PYTHON_ENV)/bin/python

.PHONY: help demo demo-honeypot build test lint bench fuzz doc man install clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

demo: ## records real connections in a lab and traces one back
	@scripts/setup demo
	@$(CARGO) build --release --locked -p unmasq -p unmasq-lab --bin unmasq --bin unmasq-lab-demo
	@exec setpriv --pdeathsig TERM scripts/demo $(RELEASE)

demo-honeypot: ## sends an attacker to the honeypot while a user reaches the real servers
	@scripts/setup demo-honeypot
	@$(CARGO) build --release --locked -p unmasq -p unmasq-lab --bin unmasq --bin unmasq-lab-demo-honeypot
	@exec setpriv --pdeathsig TERM scripts/demo $(RELEASE) unmasq-lab-demo-honeypot

build: ## the release binary
	@scripts/setup build
	$(CARGO) build --release --locked -p unmasq

test: $(PYTHON_ENV)/ready-test ## all tests, those in network namespaces included
	@scripts/setup test
	$(CARGO) nextest run --workspace --locked --no-fail-fast
	$(CARGO) test --workspace --locked --doc

lint: ## formatting, clippy, documentation and dependencies, warnings denied
	@scripts/setup lint
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items --locked
	$(CARGO) deny --workspace --locked check bans licenses sources

bench: $(PYTHON_ENV)/ready-bench ## measures unmasq beside its peers; writes bench/RESULTS.md
	@scripts/setup bench
	$(CARGO) build --release --locked --workspace --bins
	PYTHONDONTWRITEBYTECODE=1 $(PYTHON_ENV)/bin/python -m bench --binaries $(RELEASE) $(BENCH)

fuzz: ## each fuzz target for FUZZ_SECONDS; needs a nightly toolchain
	@scripts/setup fuzz
	@for target in $$($(CARGO) +nightly fuzz list); do \
	  $(CARGO) +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS); \
	done

doc: ## the code's manual
	$(CARGO) doc --workspace --no-deps --locked

man: build ## man pages and completions
	$(RELEASE)/unmasq generate --man $(RELEASE)/man --completions $(RELEASE)/completions

install: man ## binary, man pages, completions and service into DESTDIR/PREFIX
	install -Dm755 $(RELEASE)/unmasq $(DESTDIR)$(PREFIX)/bin/unmasq
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m644 $(RELEASE)/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -Dm644 $(RELEASE)/completions/unmasq.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/unmasq
	install -Dm644 $(RELEASE)/completions/_unmasq $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_unmasq
	install -Dm644 $(RELEASE)/completions/unmasq.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/unmasq.fish
	install -Dm644 packaging/unmasq.service $(DESTDIR)/usr/lib/systemd/system/unmasq.service
	install -Dm644 packaging/unmasq-watch.service $(DESTDIR)/usr/lib/systemd/system/unmasq-watch.service
	install -Dm644 packaging/unmasq-plan.service $(DESTDIR)/usr/lib/systemd/system/unmasq-plan.service
	install -Dm644 packaging/unmasq-rules.service $(DESTDIR)/usr/lib/systemd/system/unmasq-rules.service
	install -Dm644 packaging/unmasq-rules-mend.path $(DESTDIR)/usr/lib/systemd/system/unmasq-rules-mend.path
	install -Dm644 packaging/unmasq-rules-mend.service $(DESTDIR)/usr/lib/systemd/system/unmasq-rules-mend.service
	install -Dm644 packaging/unmasq-honeypot.service $(DESTDIR)/usr/lib/systemd/system/unmasq-honeypot.service
	install -Dm644 packaging/unmasq.sysusers $(DESTDIR)/usr/lib/sysusers.d/unmasq.conf
	install -Dm644 packaging/unmasq.tmpfiles $(DESTDIR)/usr/lib/tmpfiles.d/unmasq.conf
	install -d $(DESTDIR)$(PREFIX)/share/doc/unmasq/examples
	install -m644 examples/* $(DESTDIR)$(PREFIX)/share/doc/unmasq/examples/
	[ -e $(DESTDIR)/etc/unmasq/unmasq.toml ] || install -Dm644 packaging/unmasq.toml $(DESTDIR)/etc/unmasq/unmasq.toml

clean: ## all that was built
	$(CARGO) clean

# Made anew when the list of packages changes.
$(PYTHON_ENV)/ready-%: scripts/python-%.txt
	@scripts/setup python
	python3 -m venv $(PYTHON_ENV)
	$(PYTHON_ENV)/bin/pip install --quiet --disable-pip-version-check --retries 10 --timeout 60 -r $<
	touch $@
