# One line each over the command line: `make export FORMAT=onnx` is `serveoff export --format onnx`. ARGS="..." adds anything else.
.DEFAULT_GOAL := help
PYTHON ?= python3
# := and not ?=, for `make clean` deletes it: a variable of that name in the environment must not choose what.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
MLSERVER := $(VENV)/mlserver
LITERT_TORCH := $(VENV)/litert-torch
RUN := $(BIN)/serveoff
STACK := $(BIN)/python -P -m serveoff.child serving.stack
WORKERS ?= 2
# Side by side where nothing is measured, then by themselves. A choice (ARGS="-k ...") may leave one of the two calls without a test (5).
define tests
@$(BIN)/pytest -m "$(1) and not alone" --numprocesses logical --maxprocesses 4 --dist worksteal $(ARGS); many=$$?; \
$(BIN)/pytest -m "$(1) and alone" $(ARGS); alone=$$?; case $$many,$$alone in 0,0|0,5|5,0) ;; *) echo "pytest: exit $$many side by side, $$alone by themselves"; exit 1 ;; esac
endef
option = $(foreach value,$($(1)),--$(2) $(value))
MATRIX = $(call option,MODEL,model) $(call option,FRAMEWORK,framework) $(call option,FORMAT,format) $(call option,PRECISION,precision)
PLACE = $(call option,SERVER,server) $(call option,LAUNCHER,launcher)

# Every target is a command, none is a file: folders are called export/ and loadtests/, too.
.PHONY: help setup mlserver litert-torch models train tensorboard export serve loadtest report compare ui status stop up load-stack down doctor test test-slow test-containers check format protos clean
# `make -j export serve` keeps its order: each command needs what the one before made.
.NOTPARALLEL:

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with everything in it (once; every other target does it when needed)

$(STAMP): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] <= (3, 13) else f"error: serveoff needs Python 3.11 to 3.13; $(PYTHON) is {v[0]}.{v[1]}\nhint: name another one, for instance: make setup PYTHON=python3.12")'
	@echo "Setting up $(VENV): some 3 GB, a few minutes, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch numpy
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[java,dev]'
	@touch $(STAMP)

mlserver: $(MLSERVER)/.ready ## Make the environment of MLServer (400 MB, a minute, once): then make serve SERVER=mlserver

$(MLSERVER)/.ready: constraints-mlserver.txt | $(STAMP)
	$(PYTHON) -m venv --clear $(MLSERVER)
	$(MLSERVER)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-mlserver.txt mlserver onnxruntime
	@touch $@

litert-torch: $(LITERT_TORCH)/.ready ## Make the environment of litert-torch (1.8 GB, minutes, once): then make export FORMAT=tflite

# Most of it is never imported: not to compile it halves the time.
$(LITERT_TORCH)/.ready: constraints-litert-torch.txt | $(STAMP)
	$(PYTHON) -m venv --clear $(LITERT_TORCH)
	$(LITERT_TORCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints-litert-torch.txt litert-torch
	@touch $@

models: $(STAMP) ## List the models and what can be made of them
	@$(RUN) models $(ARGS)

train: $(STAMP) ## Train in PyTorch and Keras, prove the twins equal
	@$(RUN) train $(call option,MODEL,model) $(call option,FRAMEWORK,framework) $(ARGS)

tensorboard: $(STAMP) ## Show the curves of the training in TensorBoard
	@$(BIN)/tensorboard --logdir "$${SERVEOFF_WORKSPACE:-workspace}/training/tensorboard" $(ARGS)

export: $(STAMP) ## Export to every format, each proved equal to its source
	@$(RUN) export $(MATRIX) $(ARGS)

serve: $(STAMP) ## Start every server that can run here; returns when each has answered correctly
	@$(RUN) serve $(MATRIX) $(PLACE) $(ARGS)

loadtest: $(STAMP) ## Load everything that is being served, and write the report
	@$(RUN) loadtest $(MATRIX) $(PLACE) $(call option,PROTOCOL,protocol) $(ARGS)

report: $(STAMP) ## Write and show the report of the last load test again
	@$(RUN) report $(ARGS)

compare: $(STAMP) ## Say whether run B is slower than run A: make compare A=... B=... (ARGS='--slo "p99<=50ms"')
	@$(RUN) compare $(A) $(B) $(ARGS)

ui: $(STAMP) ## Open Locust's web page on what is being served
	@$(RUN) ui $(MATRIX) $(PLACE) $(call option,PROTOCOL,protocol) $(ARGS)

status: $(STAMP) ## Show what is being served
	@$(RUN) status $(ARGS)

stop: $(STAMP) ## End everything that serveoff started, also after a crash
	@$(RUN) stop $(MATRIX) $(PLACE) $(call option,PROTOCOL,protocol) $(ARGS)

up: $(STAMP) ## Start the compose stack: servers, Locust's page and WORKERS workers, Prometheus
	@$(STACK) up --detach --scale locust-worker=$(WORKERS) $(ARGS)

load-stack: $(STAMP) ## Load the compose stack by its Locust workers, and write the report
	@$(STACK) exec -T locust-master serveoff loadtest --workers $(WORKERS) --master-bind 0.0.0.0:5557 $(ARGS)

down: $(STAMP) ## Take the compose stack down; nothing of it is left
	@$(STACK) down --volumes --remove-orphans $(ARGS)

doctor: $(STAMP) ## Say what can run on this machine, and what is missing for the rest
	@$(RUN) doctor $(ARGS)

test: $(STAMP) ## Run the tests (real frameworks and real servers; minutes)
	$(call tests,not slow)

test-slow: $(STAMP) mlserver ## Run the slow suite
	$(call tests,slow and not containers)

test-containers: $(STAMP) ## Build our images and run them on a container engine (starts one where none runs)
	$(BIN)/pytest -m containers $(ARGS)

check: $(STAMP) ## Lint, formatting, types, architecture
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

protos: $(STAMP) ## Generate the protocol buffer modules again
	$(BIN)/python -m serveoff.wire.generate

clean: ## Stop everything and delete .venv and the workspace
	@if [ -x $(RUN) ]; then $(RUN) stop; fi
	rm -rf $(VENV) "$${SERVEOFF_WORKSPACE:-workspace}"
