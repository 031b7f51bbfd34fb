# Two commands need nothing but Python 3.11 and make: `make demo` and `make test`.
PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install sim demo test test-long lint types layers check docs bench build clean

install: $(STAMP)

# torch first and pinned: a looser pin would pull gigabytes of GPU packages on a machine that has no GPU.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

# PyBaMM, for `faultcell simulate` and its tests; they skip without it.
sim: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[sim]"

demo: install
	$(BIN)/faultcell demo --out demo

# Two processes of one thread each; `JOBS=1 make test` where memory is short.
test: install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# The same promises with many more faults injected: three quarters of an hour.
test-long: install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m long --timeout 3600

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

layers: install
	$(BIN)/lint-imports

check: lint types layers test

# The site, in build/docs; a link that leads nowhere is an error.
docs: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	$(BIN)/python -m sphinx -W --keep-going -q -b html -d build/doctrees docs build/docs
	@echo build/docs/index.html

bench: install
	for name in training drawing quality_time memory startup ingest edge; do $(BIN)/python benchmarks/$$name.py || exit 1; done
	$(BIN)/python benchmarks/unseen_cells.py

build: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	$(BIN)/python -m build

clean:
	rm -rf .venv dist build demo
