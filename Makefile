# `make help` lists the targets. Every one sets up .venv first, so each works alone on a fresh machine
# (Python 3.11, git and make).
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The lock holds every package with its hashes but torch: its CPU and CUDA builds differ and carry one version.
TORCH := torch==2.13.0
# Most modules are never imported; Python compiles the others when they are.
PIP := pip install --quiet --disable-pip-version-check --no-compile
.venv/installed: requirements.lock
	python3.11 -m venv .venv
	$(PIP) --no-deps --require-hashes -r requirements.lock
	$(PIP) $(TORCH)
	touch $@

.PHONY: setup
setup: .venv/installed ## make .venv with the locked dependencies

.PHONY: repro
repro: setup ## run the default experiment (dvc exp run, stages started warm) and print its scores
	python src/warm/run.py dvc exp run
	python src/compare.py --table

# Two at a time, with a thread each: more would wait for each other. In the order of tests/conftest.py.
PYTEST := OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile --no-loadscope-reorder
.PHONY: test
test: setup check ## all checks and all tests, the slow ones too
	$(PYTEST)

.PHONY: fast
fast: setup ## the fast tests only
	$(PYTEST) -m 'not slow'

.PHONY: check
check: setup ## ruff and mypy
	ruff check src tests
	ruff format --check src tests
	mypy

.audit/installed: Makefile
	python3.11 -m venv .audit
	.audit/bin/$(PIP) pip-audit==2.10.1
	touch $@

# --strict: a package that the database does not know is not passed over. Where the database cannot be asked nothing was
# audited, and that is no success.
.PHONY: audit
audit: .audit/installed ## look for known vulnerabilities in the locked dependencies (pip-audit, from a .venv of its own)
	@.audit/bin/pip-audit --strict --disable-pip --no-deps --progress-spinner off -r requirements.lock \
		-r <(echo $(TORCH)) > .audit/found 2> .audit/said \
	&& echo "no known vulnerabilities in the locked dependencies" \
	|| { cat .audit/found; [ -s .audit/found ] || echo "not audited: $$(grep -m 1 ^ERROR .audit/said)"; exit 1; }

.PHONY: format
format: setup ## let ruff mend what it can
	ruff check --fix src tests
	ruff format src tests

.PHONY: show
show: setup ## all experiments, an order a line, with their scores
	python src/compare.py --table

SWEEP ?= --tasks mnli,squad,hellaswag --design all --seeds 3 --jobs 2
.PHONY: sweep
sweep: setup ## all orders of three tasks and their controls, three seeds (SWEEP=... for another design)
	python src/sweep.py run $(SWEEP)

.PHONY: report
report: setup ## all experiments compared: statistics, figures and the page report/index.html, and open it
	python src/compare.py --open

# The encoder as it is, without any training, at all test rows. BUCC's files are yours (docs/own-data.md); without them
# TARGETS=tatoeba.
SCALE ?= large
TARGETS ?= bucc,tatoeba
.PHONY: anchors
anchors: setup ## Tatoeba and BUCC without any training, beside the numbers published for XLM-R large
	dvc exp run -S scale=$(SCALE) -S 'order=[]' -S 'targets=[$(TARGETS)]' -S sample.test=null \
		-S kinds.retrieval.max_length=256 -S kinds.mining.max_length=256 -S xtreme.bucc2018.parts.test=dev $(OPTIONS)
	python src/anchors.py

.PHONY: bench
bench: setup ## speed and memory beside transformers' Trainer and faiss (hours; OPTIONS=--help)
	python src/bench/run.py $(OPTIONS)

.PHONY: bench-scale
bench-scale: setup ## how cost grows with rows, languages, steps and orders (two minutes; OPTIONS=--quick)
	python src/bench/growth.py $(OPTIONS)

GIT_REMOTE ?= origin
TRANSFER_ENDED = { echo "error: the transfer with the DVC remote $$(dvc config core.remote) and the Git remote" \
	"$(GIT_REMOTE) came to no end (above); when both can be reached, the same command moves what is missing" >&2; exit 1; }

.PHONY: share
share: setup ## push data, checkpoints, run cache and experiments, the latter's commits to GIT_REMOTE=origin
	@git ls-remote --quiet $(GIT_REMOTE) > /dev/null && dvc push --run-cache && dvc exp push --all-commits $(GIT_REMOTE) \
		|| $(TRANSFER_ENDED)

.PHONY: fetch
fetch: setup ## fetch all of that
	@dvc exp pull --all-commits $(GIT_REMOTE) && dvc pull --run-cache --allow-missing || $(TRANSFER_ENDED)

# torch's builds lie with different indexes: it is left out, and what it needs beside the rest is named.
.PHONY: lock
lock: setup ## resolve pyproject.toml anew into requirements.lock
	pip install --quiet uv
	echo sympy | uv pip compile pyproject.toml - --all-extras --group dev --python-version 3.11 --generate-hashes \
		--overrides <(echo "torch; python_version < '3'") --no-annotate --no-header --quiet --output-file requirements.lock
