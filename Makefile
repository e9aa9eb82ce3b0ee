# Everything a developer or a newcomer needs; each target sets up what it rests on.
#
#   make setup   put everything into .venv
#   make demo    segment phantoms with the model inside the package; metrics and reports
#   make demo-train   train on phantoms first, 480 steps
#   make test    the tests
#   make check   what CI runs: lint, types, import rules, tests
#   make docs    the documentation as a site, in site/
#   make release-check   build sdist and wheel; install the wheel elsewhere and segment with it

PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
STAMP := .venv/setup.stamp

.PHONY: setup demo demo-train test check lint types imports docs release-check clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[train,tune,denoise,export,int8,onnxruntime,serve,pacs,raw,cluster,mlflow,docs,dev]"
	$(BIN)/python -c "from pathlib import Path; Path('$(STAMP)').touch()"

demo: setup
	$(BIN)/python scripts/demo.py

demo-train: setup
	$(BIN)/python scripts/demo_train.py

# Small networks: two processes of one thread each are much faster than one of two.
test: export OMP_NUM_THREADS = 1
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: setup
	$(BIN)/python -m mypy

imports: setup
	$(BIN)/lint-imports

check: lint types imports test

# A broken link ends it.
docs: setup
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --fresh-env --quiet -b html docs site

release-check: setup
	$(BIN)/python scripts/check_release.py

clean:
	$(PYTHON) -c "import shutil; [shutil.rmtree(f, True) for f in ('.venv', 'demo', 'site')]"
