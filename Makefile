# make help shows all of it. What the commands need is found or installed by deploy/setup; nothing asks for sudo.
.DEFAULT_GOAL := help
PARTS := .venv/bin/python tests/run/parts.py

.PHONY: help setup demo test check unit simulation conformance sanity kills model simulate strikes pairs bugs \
	lab lab-shell e2e e2e-upstream cluster cluster-down image bench format generate lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## build .venv and everything else; safe to repeat, offline the second time
	@deploy/setup

demo: ## set up, then watch two volumes live their whole lives on a simulated appliance
	@deploy/setup demo
	@.venv/bin/rdscsi demo $(ARGS)

test: setup ## set up, then everything that must pass, with the time of each part
	@$(PARTS)

check: setup ## ruff, mypy, layers of imports, generated code
	@$(PARTS) check

unit: setup ## the Python tests, with coverage; ARGS="tests/journal -k cut" runs those alone
	@$(if $(ARGS),.venv/bin/python -m pytest $(ARGS),$(PARTS) unit)

simulation: setup ## what can go wrong with every call, in virtual time
	@$(PARTS) simulation

conformance: setup ## our wire contract against the CSI specification's
	@$(PARTS) conformance

sanity: setup ## csi-sanity against the sandbox
	@$(PARTS) sanity

kills: setup ## kill the controller while volumes come and go; ARGS="--kills 100"
	@.venv/bin/python tests/crash/kills.py $(ARGS)

model: setup ## check the protocol's model (docs/model) with SPIN; ARGS="--large" its large cases
	@.venv/bin/python docs/model/run.py $(ARGS)

simulate: setup ## simulations by the seed, on all cores; SEEDS=FIRST:COUNT, ARGS="--minutes 10"
	@.venv/bin/python tests/simulation/simulate.py --seeds $(or $(SEEDS),0:1000) $(ARGS)

strikes: setup ## every strike on every call, on the simulated RDS instead of its fast model
	@RDSCSI_TEST_REAL=1 .venv/bin/python -m pytest -n auto --dist worksteal tests/simulation/test_every_effect.py $(ARGS)

pairs: setup ## every pair of strikes on create, delete and publish, on all cores; ARGS="--every 10"
	@.venv/bin/python tests/simulation/pairs.py $(ARGS)

bugs: setup ## put each deliberate bug into the driver and show what catches it; ARGS="--search"
	@.venv/bin/python tests/simulation/bugs.py $(ARGS)

lab: ## the node half on real NVMe/TCP, in virtual machines; ARGS="guest -- -k outage"
	@deploy/setup lab
	@$(if $(ARGS),.venv/bin/python tests/lab test $(ARGS),$(PARTS) lab)

lab-shell: ## such a machine to look around in, with the driver, a simulated RDS and a volume in use
	@deploy/setup lab
	@.venv/bin/python tests/lab shell --driver $(ARGS)

e2e: ## a real Kubernetes on this machine, the driver installed by its chart, and the suite; ARGS="life"
	@deploy/setup e2e
	@$(if $(ARGS),.venv/bin/python tests/e2e/e2e.py run $(ARGS),$(PARTS) e2e)

cluster: ## the same cluster to play in; what to try is printed
	@deploy/setup e2e
	@.venv/bin/python tests/e2e/e2e.py up $(ARGS)

cluster-down: ## take that cluster away
	@.venv/bin/python tests/e2e/e2e.py down

e2e-upstream: ## Kubernetes' own External Storage suite
	@deploy/setup e2e
	@.venv/bin/python tests/e2e/e2e.py upstream $(ARGS)

image: setup ## the container image, as an OCI archive
	@.venv/bin/python deploy/image/build.py $(ARGS)

bench: setup ## measure start-up, memory, calls and cycles per minute
	@.venv/bin/python tests/bench/run.py $(ARGS)

format: setup ## let ruff put the code in order
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

generate: setup ## rdscsi/csi/pb from proto/csi.proto
	@.venv/bin/python proto/generate.py

lock: setup ## deploy/requirements/ from pyproject.toml; UPGRADE=1 takes the newest versions
	@UPGRADE=$(UPGRADE) deploy/lock

clean: ## remove what was built here; the wheelhouse of all checkouts stays
	rm -rf .venv .cache artefacts .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
