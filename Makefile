# Two commands matter, and each makes its own environment first:
#   make book    execute every chapter afresh and build the site
#   make test    unit tests, doctests, then every chapter's checked cells
# They need Python >= 3.11, make and git. Choose the interpreter with PYTHON=/path/to/python3.12.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.complete
PYTHONS := $(if $(PYTHON),"$(PYTHON)",python3 python3.14 python3.13 python3.12 python3.11)
NOTEBOOKS ?= $(wildcard book/*.ipynb)
PORT ?= 8000
WORKERS ?= 2
CALLS ?= 10000
SECONDS ?= 20000
SAMPLE ?= 20
KILLS ?= 100
LOCK_FLAGS := --universal --all-extras --generate-hashes --no-header --fork-strategy requires-python

# Nothing of the caller's own set-up may reach the environment, the kernels or the figures.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV CONDA_PREFIX PIP_TARGET PIP_PREFIX MATPLOTLIBRC MPLBACKEND
export PYTHONNOUSERSITE := 1
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export JUPYTER_PATH := $(CURDIR)/$(VENV)/share/jupyter
export JUPYTER_PREFER_ENV_PATH := 1
export JUPYTER_NO_CONFIG := 1
export IPYTHONDIR := $(CURDIR)/$(VENV)/ipython
export MPLCONFIGDIR := $(CURDIR)/$(VENV)/matplotlib
# Compiled JAX programs are kept beside the environment that made them: the second run compiles nothing.
export JAX_COMPILATION_CACHE_DIR := $(CURDIR)/$(VENV)/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS := 0
export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES := -1
# The theory is float64 on the CPU; elsewhere JAX would warn about a GPU that it cannot use.
export JAX_PLATFORMS ?= cpu

ABOUT_THE_SITE = $(shell grep -l built_site tests/test_*.py)

.PHONY: help book test thorough browser verify claims bench fuzz kills versions repeat mutate notebooks sums recipes licences lint lock newest serve clean distclean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

book: $(STAMP) ## execute every chapter afresh and build the site
	@rm -rf _build
	@$(VENV)/bin/jupyter-book build . -n -W --keep-going
	@echo "The book is at $(CURDIR)/_build/html/index.html"

# The second call takes no options from pyproject: run-time shape checks are for the unit tests.
test: $(STAMP) ## unit tests and doctests, then the checked cells of every chapter
	@$(PY) -m pytest tests ntk_eoc --doctest-modules -n $(WORKERS) --dist loadfile
	@$(PY) -m pytest book -o addopts= -n $(WORKERS) --dist loadfile --nbval-lax --nbval-current-env --nbval-cell-timeout=300

thorough: $(STAMP) ## every case of every unit test: what make test takes a sample of
	@$(PY) -m pytest tests ntk_eoc --doctest-modules -n $(WORKERS) --dist loadfile --thorough

browser: $(STAMP) ## the built site and its pages in headless Chromium; after make book
	@SITE_TESTS=yes $(PY) -m pytest $(ABOUT_THE_SITE) -n $(WORKERS) --dist worksteal

verify: $(STAMP) ## evaluate every claim of the paper and print the verdicts
	@$(VENV)/bin/ntk-eoc verify

claims: $(STAMP) ## evaluate every claim and record the ledger that the site shows
	@$(VENV)/bin/ntk-eoc verify --json > book/results/claims.tmp || { rm -f book/results/claims.tmp; exit 1; }
	@mv book/results/claims.tmp book/results/claims.json
	@$(PY) tools/checksums.py

bench: $(STAMP) ## time this package beside its peers, alternately; writes benchmarks/results and the table in its README
	@$(PY) benchmarks
	@$(PY) tools/checksums.py

fuzz: $(STAMP) ## hostile calls and command lines at random, CALLS=10000 of each in SECONDS=20000; records the counts
	@$(PY) tests/fuzz.py --calls $(CALLS) --lines $(CALLS) --seconds $(SECONDS) --workers $(WORKERS) --record book/results/faults.json
	@$(PY) tools/checksums.py

kills: $(STAMP) ## KILLS=100 processes stopped at random instants, gone on with, compared; records the counts
	@$(PY) tests/kills.py --kills $(KILLS) --record book/results/kills.json
	@$(PY) tools/checksums.py

versions: $(STAMP) ## what make test runs, with the oldest and the newest releases allowed (PYTHON=...); records the counts
	@for resolution in lowest-direct highest; do \
	  $(PY) tests/versions.py --python $(or $(PYTHON),python3) --resolution $$resolution \
	    --record book/results/versions.json || exit 1; \
	done
	@$(PY) tools/checksums.py

repeat: $(STAMP) ## build the book twice: is every figure the same, to the last digit? records the answer
	@$(MAKE) book
	@rm -rf $(VENV)/before && mkdir $(VENV)/before && mv _build/html/_arrays $(VENV)/before
	@$(MAKE) book
	@$(PY) tests/repeat.py $(VENV)/before _build/html --record book/results/repeats.json; status=$$?; \
	rm -rf $(VENV)/before; $(PY) tools/checksums.py && exit $$status

mutate: $(STAMP) ## SAMPLE=20 mutants of each mathematical module: do the tests notice? see tests/MUTATION.md
	@$(PY) tests/mutate.py --check --sample $(SAMPLE) --record book/results/mutants.json
	@$(PY) tools/checksums.py

notebooks: $(STAMP) ## execute the chapters in place and save them (NOTEBOOKS=... for some)
	@$(PY) tools/execute_notebooks.py $(NOTEBOOKS)
	@$(PY) tools/checksums.py

sums: $(STAMP) ## write SHA256SUMS, with which make test sees a flipped bit in anything that a run recorded
	@$(PY) tools/checksums.py

# The frameworks lie beside the environment and come last on the path: what the lock says stays what is imported.
recipes: $(STAMP) ## execute the recipes of recommend as pasted, in PyTorch, Flax and Keras (installs them: gigabytes)
	@$(PY) -m pip install --quiet --upgrade --target $(VENV)/frameworks torch flax keras
	@$(PY) -c "import sys, pytest; sys.path.append('$(VENV)/frameworks'); sys.exit(pytest.main(['tests/test_recipes.py']))"

licences: $(STAMP) ## refuse an installed distribution whose licence is not permissive
	@$(PY) tools/licences.py

lint: $(STAMP) ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

lock: $(STAMP) ## write requirements.lock from pyproject.toml (UPGRADE=--upgrade for newer versions)
	@$(PY) -m uv pip compile pyproject.toml $(LOCK_FLAGS) $(UPGRADE) --quiet -o requirements.lock

serve: ## look at the built site on http://localhost:8000 (PORT=...)
	@test -f _build/html/index.html || { echo "There is no site yet: run make book first." >&2; exit 1; }
	@$(PY) -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

clean: ## remove what was built, keep the environment
	@rm -rf _build build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis $(VENV)/jax
	@find ntk_eoc tests tools book -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## remove the environment too
	@rm -rf $(VENV)

# --- the environment -------------------------------------------------------------------------
# The stamp holds the folder it was made in and is written last. Without it, or with another
# folder in it (a moved checkout), or with an interpreter that has gone, .venv is made anew; when
# only the lock or pyproject changed, it is brought up to date.

STAMPED := $(shell cat $(STAMP) 2>/dev/null && $(PY) -E -c '' 2>&1)
ifneq ($(STAMPED),$(CURDIR))
.PHONY: $(STAMP)
NEW_VENV := yes
endif

PROBE := import sys, venv, ensurepip; assert sys.version_info >= (3, 11); print(sys._base_executable)

define make_venv
	@rm -rf $(VENV); \
	for candidate in $(PYTHONS); do \
	  base=$$("$$candidate" -I -c '$(PROBE)' 2>/dev/null) && break; \
	done; \
	if [ -z "$$base" ]; then \
	  echo "No Python >= 3.11 with its venv module was found: install one, or name it with make PYTHON=/path/to/python3.12." >&2; \
	  exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$base" -V) (once, about a minute)"; \
	"$$base" -I -m venv $(VENV)
endef

# The configuration file silences a warning, once per chapter, that kernels speak TCP on this machine.
define mark_complete
	@mkdir -p $(VENV)/etc/ipython
	@echo "c.Application.log_level = 40" > $(VENV)/etc/ipython/ipython_kernel_config.py
	@printf '%s\n' "$(CURDIR)" > $(STAMP)
endef

$(STAMP): requirements.lock pyproject.toml
	$(if $(NEW_VENV),$(make_venv))
	@rm -f $@
	@$(PY) -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	@$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(mark_complete)

newest: ## make .venv with the newest releases pyproject allows, ignoring the lock
	$(make_venv)
	@$(PY) -m pip install --quiet --upgrade --editable ".[book,test,dev]"
	$(mark_complete)
