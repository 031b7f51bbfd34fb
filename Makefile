# Two commands need nothing but Python 3.11 and make: `make demo` and `make test`.
PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install sim demo test test-long lint types layers check docs bench build wheel clean

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

# The site, in build/docs; a link that leads nowhere is an error, and so is a cell of a notebook that fails. Notebooks are run again
# where their code has changed: three minutes on one core for all three; `rm -r build/notebooks` forgets what they showed.
docs: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	$(BIN)/python -m sphinx -W --keep-going -q -b html -d build/doctrees -D nb_execution_mode=cache docs build/docs
	@echo build/docs/index.html

bench: install
	for name in training drawing quality_time memory startup ingest edge; do $(BIN)/python benchmarks/$$name.py || exit 1; done
	$(BIN)/python benchmarks/unseen_cells.py

build: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	$(BIN)/python -m build

# The wheel, in dist/, installed with all it needs into an empty environment, where it must work.
wheel: install
	rm -rf dist/*.whl build/wheel
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(BIN)/python -m venv build/wheel
	build/wheel/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt dist/*.whl
	cd build/wheel && bin/faultcell --version && bin/python -c "import faultcell; print(faultcell.demo_data())"
	@ls dist/*.whl

clean:
	rm -rf .venv dist build demo
