# One line each; all of them work on a fresh clone with only Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check fix docs bench soak pictures clean

run: .venv/ready
	@$(BIN)/zap run || [ $$? = 3 ]  # the code of demo/broken, which fails on purpose

test: .venv/ready
	$(BIN)/python -m pytest -n auto $(ARGS)

check: .venv/ready
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

fix: .venv/ready
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

docs: .venv/ready  # what is generated: the references, the house, the machine
	$(BIN)/python -c "from zap import settings; print(settings.reference(), end='')" >docs/settings.md
	$(BIN)/python -c "from zap import wire; print(wire.reference(), end='')" >docs/socket.md
	$(BIN)/python -c "from zap.tui import keys; print(keys.reference(), end='')" >docs/keys.md
	$(BIN)/python -m tests.house --write && $(BIN)/python -m tests.diagram --write

bench: .venv/ready
	$(BIN)/python -m tests.bench $(ARGS)

soak: .venv/ready  # ARGS: how many minutes
	$(BIN)/python -m tests.bench_soak $(ARGS)

pictures: .venv/ready  # those of the README, into docs/pictures/
	$(BIN)/python -m tests.pictures

clean:
	rm -rf .venv

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
