# `make help` lists the targets. Each target sets up .venv first, so it works on a fresh machine with Python 3.11, git and make.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The lock holds every package with its hashes, except torch: its CPU and CUDA builds differ and share one version number.
TORCH := torch==2.13.0
# Most modules are never imported; Python compiles the others on first use.
PIP := pip install --quiet --disable-pip-version-check --no-compile
.venv/installed: requirements.lock
	python3.11 -m venv .venv
	$(PIP) --no-deps --require-hashes -r requirements.lock
	$(PIP) $(TORCH)
	touch $@

NO_IDENTITY := note: experiments need a Git identity: set user.name and user.email with git config --global
.PHONY: setup
setup: .venv/installed ## make .venv with the locked dependencies
	@git config user.name >/dev/null && git config user.email >/dev/null || echo "$(NO_IDENTITY)" >&2

.PHONY: repro
repro: setup ## run the experiment of params.yaml, the default in a fresh clone, and print its scores
	python src/warm.py dvc repro
	python src/compare.py --table

# Two processes with one thread each suit two cores. tests/conftest.py orders the files, the longest first.
PYTEST := OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile --no-loadscope-reorder
.PHONY: test
test: setup check ## all checks and all tests, including the slow ones
	$(PYTEST)

.PHONY: fast
fast: setup ## the fast tests only
	$(PYTEST) -m 'not slow'

.PHONY: check
check: setup ## ruff and mypy
	ruff check src tests benchmarks
	ruff format --check src tests benchmarks
	mypy

.audit/installed: Makefile
	python3.11 -m venv .audit
	.audit/bin/$(PIP) pip-audit==2.10.1
	touch $@

# --strict fails on packages that the database does not know. If the database cannot be reached, nothing was audited, and
# the target fails.
.PHONY: audit
audit: .audit/installed ## look for known vulnerabilities in the locked dependencies (pip-audit, in its own environment)
	@.audit/bin/pip-audit --strict --disable-pip --no-deps --progress-spinner off -r requirements.lock \
		-r <(echo $(TORCH)) > .audit/report 2> .audit/log \
	&& echo "no known vulnerabilities in the locked dependencies" \
	|| { cat .audit/report; [ -s .audit/report ] || echo "not audited: $$(grep -m 1 ^ERROR .audit/log)"; exit 1; }

.PHONY: format
format: setup ## fix what ruff can fix
	ruff check --fix src tests benchmarks
	ruff format src tests benchmarks

.PHONY: show
show: setup ## list all experiments with their scores, one line each
	python src/compare.py --table

SWEEP ?= --tasks mnli,squad,hellaswag --design all --seeds 3 --jobs 2
.PHONY: sweep
sweep: setup ## run all orders of three tasks with controls and three seeds (SWEEP=... for another design)
	python src/sweep.py run $(SWEEP)

.PHONY: report
report: setup ## compare all experiments: statistics, figures and the page report/index.html, and open it
	python src/compare.py --open

# The pretrained encoder without any training, on all test rows. BUCC needs files of your own (docs/own-data.md); without
# them use TARGETS=tatoeba.
SCALE ?= large
TARGETS ?= bucc,tatoeba
.PHONY: anchors
anchors: setup ## compare Tatoeba and BUCC without any training with the numbers published for XLM-R large
	dvc exp run -S scale=$(SCALE) -S 'order=[]' -S 'targets=[$(TARGETS)]' -S sample.test=null \
		-S kinds.retrieval.max_length=256 -S kinds.mining.max_length=256 -S ++xtreme.bucc2018.parts.test=dev $(OPTIONS)
	python src/anchors.py

.PHONY: bench
bench: setup ## measure speed and memory against transformers' Trainer and faiss (hours; OPTIONS=--help)
	PYTHONPATH=src python benchmarks/bench.py $(OPTIONS)

.PHONY: bench-scale
bench-scale: setup ## measure how cost grows with rows, languages, steps and orders (two minutes; OPTIONS=--quick)
	PYTHONPATH=src python benchmarks/growth.py $(OPTIONS)

GIT_REMOTE ?= origin
TRANSFER_FAILED = { echo "error: the transfer with the DVC remote $$(dvc config core.remote) and the Git remote" \
	"$(GIT_REMOTE) failed (see above); run the same command again when both can be reached: it transfers what is missing" >&2; exit 1; }

.PHONY: share
share: setup ## push data, checkpoints, the run cache and experiments (their commits to GIT_REMOTE=origin)
	@git ls-remote --quiet $(GIT_REMOTE) > /dev/null && dvc push --run-cache && dvc exp push --all-commits $(GIT_REMOTE) \
		|| $(TRANSFER_FAILED)

.PHONY: fetch
fetch: setup ## fetch what `make share` pushed
	@dvc exp pull --all-commits $(GIT_REMOTE) && dvc pull --run-cache --allow-missing || $(TRANSFER_FAILED)

# The lock omits torch, whose builds come from different indexes, and adds sympy, which only torch needs.
.PHONY: lock
lock: setup ## resolve pyproject.toml into requirements.lock
	pip install --quiet uv
	echo sympy | uv pip compile pyproject.toml - --all-extras --group dev --python-version 3.11 --generate-hashes \
		--overrides <(echo "torch; python_version < '3'") --no-annotate --no-header --quiet --output-file requirements.lock
