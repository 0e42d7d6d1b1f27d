# The verbs of the repository. Each is a script, so that each can be read and run alone.
.DEFAULT_GOAL := help
.PHONY: help setup run test test-long test-infra bench fmt lint

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: ## install what is missing (Debian packages as root, .venv)
	@exec scripts/setup.sh

run: ## the edge and three regions on this machine; PORT=8080 ADMIN_PORT=9900
	@exec scripts/run.sh

test: ## every test
	@exec scripts/test.sh

test-long: ## the slow tests
	@exec scripts/test-long.sh

test-infra: ## all checks of infra/; ONLY="test_helm.py::test_x" for one
	@exec scripts/test-infra.sh

bench: ## thalweg beside nginx, HAProxy and Envoy, then the micro-benches (about 40 minutes)
	@bench/run.sh $(BENCH_ARGS) && exec cargo bench --locked -p thalweg-bench

fmt: ## format Rust and Python in place
	@exec scripts/fmt.sh

lint: ## formats and lints only
	@exec scripts/test.sh lint
