# The verbs of the repository. Each is a script, so that each can be read and run alone.
.DEFAULT_GOAL := help
.PHONY: help setup run run-server test test-long test-infra chaos chaos-compare fleet bench release fmt lint generate

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: ## install what is missing (Debian packages as root, .venv)
	@exec scripts/setup.sh

run: ## the edge and three regions on this machine; PORT=8080 ADMIN_PORT=9900
	@exec scripts/run.sh

run-server: ## the application alone, for its developers; PORT=8000
	@exec scripts/run-server.sh

test: ## every test
	@exec scripts/test.sh

test-long: ## the slow tests
	@exec scripts/test-long.sh

test-infra: ## all checks of infra/; ONLY="test_helm.py::test_x" for one
	@exec scripts/test-infra.sh

chaos: ## every fault under every policy, measured (about 55 minutes, root for dropped packets); ONLY="freeze slow" for some
	@exec scripts/chaos.sh $(ONLY)

chaos-compare: ## the same faults against nginx, HAProxy and Envoy (about 25 minutes); writes docs/failover.md
	@exec scripts/chaos-compare.sh $(ONLY)

fleet: ## the fleet and anycast on real NATS and BIRD, with figures (about 3 minutes; root for the network namespaces)
	@exec scripts/fleet.sh

bench: ## thalweg beside nginx, HAProxy and Envoy, then the micro-benches (an hour and more)
	@bench/run.sh $(BENCH_ARGS) && exec cargo bench --locked -p thalweg-bench

release: ## the binary that is shipped: trained on the load of the bench (profile-guided optimisation); prints its path
	@exec scripts/release.sh

fmt: ## format Rust and Python in place
	@exec scripts/fmt.sh

generate: ## write again what is made from the schema, the charts' values, the rules and the tables of coverage
	@exec scripts/generate.sh

lint: ## formats and lints only
	@exec scripts/test.sh lint
