# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after lib.sh by the scripts that talk to a cluster: which cluster, and its queries.
#
# From the environment, all optional:
#   CONTEXT  the kubectl context to use; without it the current one, which must be `minikube`, or be confirmed
#   YES=1    answers every question with yes
namespace=tributary
ours=app.kubernetes.io/part-of=tributary
# What an apply makes, without the Jobs and pods that come from a CronJob in their time.
applied=$ours,app.kubernetes.io/name!=warehouse
minikube_start="minikube start --cpus=4 --memory=8192"

# kube ARGS…: kubectl in the system's namespace, on the chosen cluster.
kube() { kubectl --context "$context" --namespace "$namespace" "$@"; }

# ask QUESTION: true for a yes. Without a terminal the answer is no.
ask() {
  [ "${YES:-}" != 1 ] || return 0
  [ -t 0 ] || return 1
  local answer
  read -r -p "$1 [y/N] " answer
  case $answer in y | Y | yes) ;; *) return 1 ;; esac
}

# find_cluster: sets `context` to a cluster that answers. Reading needs no more than this.
find_cluster() {
  have kubectl || fail 69 "kubectl is missing: https://kubernetes.io/docs/tasks/tools/ says how to install it"
  context=${CONTEXT:-$(kubectl config current-context 2>/dev/null || true)}
  [ -n "$context" ] || fail 69 "kubectl knows of no cluster: start one with \`$minikube_start\`"
  kubectl --context "$context" --request-timeout=10s get --raw /version >/dev/null 2>&1 \
    || fail 69 "the cluster of the context $context does not answer: start one with \`$minikube_start\`, or name another context with CONTEXT="
}

# use_cluster: finds it, and makes sure that it is the intended one: with several clusters, the current context may be
# the wrong one.
use_cluster() {
  find_cluster
  # A script that calls others has already reported it.
  [ -n "${CONTEXT_SAID:-}" ] || say "using the kubectl context $context"
  if [ "$context" = minikube ] || [ "$context" = "${CONTEXT:-}" ]; then return; fi
  ask "this is not minikube; continue?" || fail 64 "the current context is $context, not minikube: set CONTEXT=$context to use it"
}

need_namespace() {
  kube get namespace "$namespace" >/dev/null 2>&1 || fail 69 "the cluster is empty: the namespace $namespace does not exist; run \`make up\`"
}

# The pipeline whose consumer, settings and database are read.
pipeline=emissions

# setting NAME: prints an environment variable of the running consumer, which is the value really in use.
setting() { kube get deployment "$pipeline-consumer" -o "jsonpath={.spec.template.spec.containers[0].env[?(@.name==\"$1\")].value}"; }

# database: prints the name of the database that the consumer writes.
database() {
  local name; name=$(setting DATABASE_NAME)
  if [ -z "$name" ]; then name=$(setting DATABASE_URL); name=${name%%\?*}; fi
  echo "${name##*/}"
}

# sql QUERY: prints the rows of a query to PostgreSQL in the cluster, one a line, columns separated by |.
sql() { kube exec -c postgres statefulset/postgres -- psql -U postgres -d "$(database)" -XAtq -v ON_ERROR_STOP=1 -c "$1"; }

# kafka_tool NAME ARGS…: one of Kafka's own tools, in the broker's pod.
kafka_tool() {
  local tool=$1; shift
  kube exec -c kafka kafka-0 -- "/opt/kafka/bin/$tool" --bootstrap-server localhost:9092 "$@"
}

# job_of LABEL: prints the names of the pipeline's Jobs of that name, such as `producer`.
job_of() { kube get jobs -l "$ours,app.kubernetes.io/name=$1" -o name; }

# sha256: prints the SHA-256 of stdin.
sha256() { if have sha256sum; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1; }
