# Two commands set everything up on a fresh machine: `make demo` and `make test`.
# Both create .venv and install headsplat into it once; after that they start at once and need no network.
# `make demo` installs what runs, `make test` adds the tools of the tests and style checks.

PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
PY := $(BIN)/python
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.dev
DEMO_DIR ?= demo
# One process for each core; more than eight only repeat what each prepares for itself.
PARALLEL ?= --numprocesses auto --maxprocesses 8
PYTEST = $(PY) -m pytest $(PARALLEL) $(if $(CHANGED),--changed $(CHANGED))
# Empty, Python keeps the bytecode that it compiles: the tests start it dozens of times.
export PYTHONDONTWRITEBYTECODE :=
DOCS_STAMP := $(VENV)/.docs
# Prints an extra of pyproject.toml, one requirement a line; pip brings a TOML reader for Python 3.10.
EXTRA := import importlib, sys; \
	toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "pip._vendor.tomli"); \
	extras = toml.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; print(*extras[sys.argv[1]], sep="\n")

# Plain `pip install torch` takes the index's newest build; pin it, and without an NVIDIA driver prefer the small CPU build.
TORCH ?= torch==2.13.0
ifeq ($(OS)$(shell uname -s)$(shell command -v nvidia-smi),Linux)
TORCH_INDEX ?= --extra-index-url https://download.pytorch.org/whl/cpu --retries 1
TORCH_LOCK := torch-cpu.lock
# The CPU build of PyTorch cannot use the CUDA kernels: they are compiled for the tests only, where there is a compiler.
WITHOUT_CUDA := HEADSPLAT_CUDA=$${HEADSPLAT_CUDA:-OFF}
else
TORCH_LOCK := torch.lock
endif

# Everything is installed in the exact versions and with the hashes of this folder, written by `make lock`. Empty, or with
# another TORCH, pip takes the newest versions that pyproject.toml allows, without hashes.
LOCK ?= $(if $(filter file,$(origin TORCH)),requirements)
UV := uv==0.13.9

# Python compiles the modules that are imported as they are imported, which are a small part of these packages.
FAST := --quiet --no-compile

# Only what is compiled or declared triggers a new install; the Python code is installed in place.
SOURCES := pyproject.toml $(wildcard requirements/packages.lock requirements/torch*.lock) $(shell find cuda_ext -path '*/CMakeFiles' -prune -o -type f \
	\( -name '*.cpp' -o -name '*.cu' -o -name '*.h' -o -name '*.cuh' -o -name '*.cmake' -o -name CMakeLists.txt \) -print 2>/dev/null)
NATIVE := $(shell find cuda_ext tests -path '*/CMakeFiles' -prune -o -type f \
	\( -name '*.cpp' -o -name '*.cu' -o -name '*.h' -o -name '*.cuh' \) -print 2>/dev/null)

.PHONY: help demo demo-clip docs wheels test test-unit test-system test-simd lint sanitize attack gpu-check lock format clean
help:
	@echo "make demo    set up if needed, then run the whole path on a synthetic clip (results in $(DEMO_DIR)/)"
	@echo "make test    set up if needed, then lint, type-check and run the unit tests; CHANGED=main: those that a change reaches"
	@echo "make test-system  the tests of tests/system: hostile inputs, kills, browser, window, whole trainings and films"
	@echo "make test-simd  the tests under every SIMD path of NumPy, BLAS, PyTorch and the kernels (hours)"
	@echo "make lint    ruff, clang-format and mypy only, and for the page ESLint and tsc where Node.js is installed"
	@echo "make docs    build the documentation into site/; needs neither the kernels nor, once installed, a network"
	@echo "make wheels  the wheels of headsplat, for this Python and system, and of the face networks, in dist/"
	@echo "make format  rewrite the code with ruff and clang-format"
	@echo "make sanitize   the native tests with address and undefined-behaviour checks compiled in (GCC)"
	@echo "make attack     hostile inputs, kills and full disks against every reader and writer (10 to 20 minutes)"
	@echo "make gpu-check  everything that needs a CUDA device, one report: gpu-report.md"
	@echo "make demo-clip  draw the video of the demo again, which is a part of the package"
	@echo "make lock    write requirements/*.lock again: the exact versions and hashes of everything that is installed"
	@echo "make clean   remove the environment, build folders and caches"

demo: $(STAMP)
	$(BIN)/headsplat demo -o $(DEMO_DIR) --overwrite

# The quality keeps it under a megabyte; another version of FFmpeg writes other bytes.
demo-clip: $(STAMP)
	$(BIN)/headsplat synth -o build/demo_clip --crf 27 --overwrite
	cp build/demo_clip/video.mp4 capture/synthetic/demo_clip.mp4

lint: $(DEV_STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(NATIVE)
	$(PY) -m mypy
	$(PY) -m tests.support.page_lint

# Style and types are checked beside the tests. CHANGED=main: only what the change since that branch can reach.
test: $(DEV_STAMP)
	@$(MAKE) --no-print-directory --jobs=2 --keep-going lint test-unit

test-unit: $(DEV_STAMP)
	$(PYTEST) --gate unit --ignore=tests/system $(PYTEST_ARGS)

# Its tests wait for programs and browsers: one process more than there are cores.
test-system: PARALLEL = --numprocesses $$($(PY) -c 'import os; print(min(8, 1 + (os.cpu_count() or 1)))')
test-system: $(DEV_STAMP)
	$(PYTEST) --gate system -o testpaths=tests/system $(PYTEST_ARGS)

test-simd: $(DEV_STAMP)
	$(PY) -m tests.support.simd $(PARALLEL) $(PYTEST_ARGS)

sanitize: $(DEV_STAMP)
	$(PY) -m tests.support.sanitize $(PYTEST_ARGS)

attack: $(DEV_STAMP)
	$(PY) -m tests.system.trust.attack $(ATTACK_ARGS)

# Uses the environment that is there, and builds by itself: machines with a GPU often have no network.
gpu-check:
	$(if $(wildcard $(PY)),$(PY),$(PYTHON)) -m tests.bench.gpu_check $(GPU_CHECK_ARGS)

# Only reads the source, so that nothing has to be compiled for it.
docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	@echo "built: open site/index.html"

$(DOCS_STAMP): $(VENV)/.created pyproject.toml
	$(PY) -c '$(EXTRA)' docs > $@.txt
	$(PY) -m pip install --quiet --requirement $@.txt
	@touch $@

wheels: $(STAMP)
	$(PY) -m tools.models_wheel -o dist
	$(WITHOUT_CUDA) $(PY) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

format: $(DEV_STAMP)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .
	$(BIN)/clang-format -i $(NATIVE)

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "headsplat needs Python 3.10 or newer, and \`$(PYTHON)\` is not; run \`make PYTHON=/path/to/python3.11 ...\`" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || \
	  { echo "could not create $(VENV); on Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	@touch $@

$(STAMP): $(VENV)/.created $(SOURCES)
	@echo "installing what headsplat needs and compiling its kernels into $(VENV): two minutes, once"
ifneq ($(LOCK),)
	$(PY) -m pip install $(FAST) --no-deps --require-hashes $(TORCH_INDEX) --requirement $(LOCK)/$(TORCH_LOCK)
	$(PY) -m pip install $(FAST) --no-deps --require-hashes --requirement $(LOCK)/packages.lock
	$(WITHOUT_CUDA) $(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
else
	$(PY) -m pip install --quiet --no-deps $(TORCH_INDEX) "$(TORCH)"
	$(PY) -m pip install --quiet "scikit-build-core>=0.10" "nanobind>=2.4" "cmake>=3.20" ninja
	$(WITHOUT_CUDA) $(PY) -m pip install --quiet --no-build-isolation --editable .
endif
	@touch $@

$(DEV_STAMP): $(STAMP) $(wildcard requirements/dev.lock)
ifneq ($(LOCK),)
	$(PY) -m pip install $(FAST) --no-deps --require-hashes --requirement $(LOCK)/dev.lock
else
	$(PY) -c '$(EXTRA)' dev > $@.txt
	$(PY) -m pip install --quiet --requirement $@.txt
endif
	$(if $(WITHOUT_CUDA),$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .)
	@touch $(STAMP) $@  # the build writes files that count as sources

# Needs a network: PyPI and, for the hashes of the CPU build of PyTorch, PyTorch's own index.
lock: $(VENV)/.created
	$(PY) -m pip install --quiet "$(UV)"
	$(PY) -m tests.support.lock "$(TORCH)"

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find avatar capture viewer cuda_ext tools tests -name __pycache__ -type d -prune -exec rm -rf {} +
	find cuda_ext \( -name '*.so' -o -name '*.pyd' \) -delete
