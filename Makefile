# Everything a developer or a newcomer needs; each target sets up what it rests on.
#
#   make setup   put everything into .venv
#   make demo    segment phantoms with the model inside the package; metrics and reports
#   make demo-train   train on phantoms first, 480 steps
#   make test    the tests
#   make check   what CI runs: lint, types, import rules, tests
#   make docs    the documentation as a site, in site/
#   make test-minimum, make test-latest   with the oldest and the newest that may be installed: weekly
#   make release-check   build sdist and wheel; install the wheel elsewhere and segment with it

PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
STAMP := .venv/setup.stamp
EXTRAS := train,tune,denoise,export,int8,onnxruntime,serve,pacs,raw,cluster,mlflow,docs,dev

.PHONY: setup demo demo-train test check lint types imports docs test-minimum test-latest release-check clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[$(EXTRAS)]"
	$(BIN)/python -c "from pathlib import Path; Path('$(STAMP)').touch()"

demo: setup
	$(BIN)/python scripts/demo.py

demo-train: setup
	$(BIN)/python scripts/demo_train.py

# Small networks: two processes of one thread each are much faster than one of two.
test: export OMP_NUM_THREADS = 1
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Two environments of their own. What needs no torch is tried with the oldest, where PyTorch would be a
# build for graphics cards; all is tried with the newest, but for torch itself.
OLD := tests/test_base_*.py tests/test_archives.py tests/test_dicom_*.py \
	tests/test_docs.py tests/test_evaluation_[cefls]*.py tests/test_pacs_manners.py \
	tests/test_phantom_*.py tests/test_reporting_[hp]*.py tests/test_scans_*.py \
	tests/test_server.py tests/test_server_dicom.py tests/test_volumes_p*.py

test-minimum test-latest: export OMP_NUM_THREADS = 1
test-minimum: PLACE = $(subst .venv,.venv-minimum,$(BIN))
test-minimum:
	$(PYTHON) -m venv --clear .venv-minimum
	$(PLACE)/python -m pip install --quiet -c constraints-minimum.txt \
		-e ".[phantom,dicom,pacs,serve,raw,onnxruntime]" pytest pytest-xdist hypothesis nibabel httpx
	$(PLACE)/python -m pytest -n 2 --dist loadfile $(OLD)

test-latest: PLACE = $(subst .venv,.venv-latest,$(BIN))
test-latest:
	$(PYTHON) -m venv --clear .venv-latest
	$(PLACE)/python -m pip install --quiet "$(shell grep ^torch== constraints.txt)"
	$(PLACE)/python -m pip install --quiet -e ".[$(EXTRAS)]"
	$(PLACE)/python -m pytest -n 2 --dist loadfile

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
	$(PYTHON) -c "import shutil; [shutil.rmtree(f, True) for f in ('.venv', '.venv-minimum', '.venv-latest', 'demo', 'site')]"
