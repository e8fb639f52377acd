# `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help demo test faults soak fuzz bench bench-e2e build fmt sample hash clean
.PHONY: superset images secrets data up dashboards status down purge e2e

help: ## lists the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-17s %s\n", $$1, $$2 }'

demo: ## runs the sample (or DATA=file) from file to tables on this machine; PIPELINE=energy; DEMO_KEEP=1 leaves PostgreSQL running
	@scripts/setup run
	@scripts/build demo migrate producer consumer
	@target=$${CARGO_TARGET_DIR:-target}; $$target/release/demo $(if $(PIPELINE),--pipeline '$(PIPELINE)') $(if $(DATA),--data '$(DATA)')

superset: ## the dashboards at http://localhost:8088 without a cluster, over the databases that DEMO_KEEP=1 make demo left running
	@scripts/setup build
	@scripts/build demo migrate producer consumer
	@scripts/superset

up: ## brings everything up on the cluster: images, secrets, DATA (a path, https://… or sample), ENERGY (a path) with the second pipeline, SENSORS=simulator with the third, IOT=simulator with the fourth
	@scripts/up

dashboards: ## serves the dashboards of the cluster at http://localhost:8088, until Ctrl-C
	@scripts/dashboards

status: ## shows what runs in the cluster, the accounting, the lag of the consumer
	@scripts/status

down: ## removes the workloads from the cluster; keeps data and secrets, so that `make up` can continue
	@scripts/down

purge: ## removes everything from the cluster, data included, after a question (YES=1: without)
	@scripts/purge

images: ## builds the five images into the cluster (IMAGES=minikube, docker, or any builder's command) and writes their tag into the manifests
	@scripts/images

secrets: ## makes random passwords for the cluster, once, in kubernetes/secrets/made-by-make-secrets.env
	@scripts/secrets

data: ## copies FILE (a path or https://…) to the volume that the producer reads; NAME=energy for the second pipeline
	@scripts/data '$(FILE)' $(NAME)

e2e: ## brings everything up on an empty cluster with DATA=file (and ENERGY=file, SENSORS=simulator, IOT=simulator), checks it, breaks it, removes it; KEEP=1, ONLY='names'
	@scripts/e2e

test: ## formatting, lints, docs and all tests, on a private PostgreSQL and Kafka
	@scripts/test

faults: ## runs the end-to-end tests, the slow ones too: killed programs and servers, cut networks, full disks; ONLY='part of a name'
	@scripts/faults

soak: ## random faults while records flow, for MINUTES (30); SEED=n repeats the same faults
	@scripts/faults soak

fuzz: ## tests each property of the parsers on a million mutated inputs (CASES=number), and a million schedules of the simulation
	@scripts/setup build
	@scripts/fuzz

bench: ## measures the parts with criterion, and the pipeline end to end on real Kafka and PostgreSQL
	@scripts/setup run
	@scripts/bench

bench-e2e: ## measures only the pipeline end to end (docs/BENCHMARKS.md): ROWS=1000000, DATA=file, PIPELINE=energy, REPEAT=5, PEERS=1, REPLICAS=3, REBALANCE=1, BASE=folder
	@scripts/setup run
	@scripts/bench e2e

build: ## builds the release binaries
	@scripts/setup build
	@scripts/build

fmt: ## formats the code
	@cargo fmt --all

sample: ## rewrites the made samples in data/
	@cargo run --quiet --package testkit

hash: ## prints the hash of the derived tables at DATABASE_URL
	@scripts/build demo migrate producer consumer
	@$${CARGO_TARGET_DIR:-target}/release/consumer --pipeline '$(or $(PIPELINE),emissions)' hash

clean: ## stops what DEMO_KEEP=1 left running, and removes target/
	@scripts/postgres down target/demo/postgres --wipe
	@scripts/kafka down target/demo/kafka --wipe
	@rm -rf target
