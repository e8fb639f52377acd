# Sourced by the scripts beside it that run long steps on a PostgreSQL and a Kafka of their own, in "$folder".
step=

# run_step COMMAND…: one step, in a process group of its own, so that all of it can be ended.
run_step() {
  local code=0
  set -m
  "$@" &
  step=$!
  set +m
  wait "$step" || code=$?
  step=
  return "$code"
}

end_servers() {
  "$scripts/kafka" down "$folder/kafka" --wipe
  "$scripts/postgres" down "$folder/postgres" --wipe
}

# Whatever ends the script, neither its step nor a server outlives it.
finish() {
  local code=$?
  trap '' INT TERM
  if [ -n "$step" ]; then kill -- "-$step" 2>/dev/null || true; wait "$step" 2>/dev/null || true; fi
  end_servers
  exit "$code"
}

finish_at_the_end() {
  trap finish EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}
