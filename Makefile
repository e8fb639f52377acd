# `make` alone lists what can be done.
.DEFAULT_GOAL := help
.PHONY: help demo test faults soak fuzz bench bench-road build fmt sample hash clean
.PHONY: superset images secrets data up dashboards status down purge e2e

help: ## lists what can be done
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-17s %s\n", $$1, $$2 }'

demo: ## takes the sample (or DATA=file) from file to tables on this machine; PIPELINE=energy; DEMO_KEEP=1 leaves PostgreSQL running
	@scripts/setup run
	@echo "building the release binaries (some minutes the first time)" >&2
	@cargo build --release --bins
	@cargo run --quiet --release --package demo --bin demo -- $(if $(PIPELINE),--pipeline '$(PIPELINE)') $(if $(DATA),--data '$(DATA)')

superset: ## the dashboards at http://localhost:8088 without a cluster, over what DEMO_KEEP=1 make demo left running
	@scripts/setup build
	@cargo build --quiet --release --bin migrate
	@scripts/superset

up: ## brings everything up on the cluster: images, secrets, DATA (a path, https://… or sample), ENERGY (a path) with the second pipeline
	@scripts/up

dashboards: ## lets http://localhost:8088 lead to the dashboards in the cluster, until Ctrl-C
	@scripts/dashboards

status: ## shows what runs in the cluster, the books, how far behind the consumer is
	@scripts/status

down: ## removes the workloads from the cluster; keeps data and secrets, and `make up` goes on
	@scripts/down

purge: ## removes everything from the cluster, data included, after asking (YES=1: without)
	@scripts/purge

images: ## builds the four images into the cluster (IMAGES=minikube, docker, or any builder's command) and names them to the manifests
	@scripts/images

secrets: ## makes random passwords for the cluster, once, in kubernetes/secrets/made-by-make-secrets.env
	@scripts/secrets

data: ## puts FILE (a path or https://…) where the cluster's producer reads it; NAME=energy for the second pipeline's
	@scripts/data '$(FILE)' $(NAME)

e2e: ## brings everything up on an empty cluster with DATA=file, checks it, breaks it, removes it; KEEP=1, ONLY='names'
	@scripts/e2e

test: ## formatting, lints, docs and all tests, on a PostgreSQL and a Kafka of its own
	@scripts/test

faults: ## kills, cuts and fills what the road stands on, and checks every record after; ONLY='part of a name'
	@scripts/faults

soak: ## the same at random while records flow, for MINUTES (30); SEED=n draws the same faults again
	@scripts/faults soak

fuzz: ## tries a million mutated inputs (CASES=number) on each law of what reads bytes, and a million schedules of the simulation
	@scripts/setup build
	@scripts/fuzz

bench: ## measures the parts with criterion, and the whole road on real Kafka and PostgreSQL
	@scripts/setup run
	@scripts/bench

bench-road: ## measures the whole road alone (docs/BENCHMARKS.md): ROWS=1000000, DATA=file, PIPELINE=energy, REPEAT=5, PEERS=1, REPLICAS=3, REBALANCE=1
	@scripts/setup run
	@scripts/bench road

build: ## builds the release binaries
	@scripts/setup build
	@cargo build --release --bins

fmt: ## formats the code
	@cargo fmt --all

sample: ## writes the made samples in data/ anew
	@cargo run --quiet --package demo --bin make-sample

hash: ## prints the hash of the derived tables at DATABASE_URL
	@cargo run --quiet --release --package consumer -- --pipeline '$(or $(PIPELINE),emissions)' hash

clean: ## stops what DEMO_KEEP=1 left running, and removes target/
	@scripts/postgres down target/demo/postgres --wipe
	@scripts/kafka down target/demo/kafka --wipe
	@rm -rf target
