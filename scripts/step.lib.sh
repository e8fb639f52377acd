# Sourced by the scripts that run long steps on a private PostgreSQL and Kafka, in "$folder".
step=

# run_step COMMAND…: one step, in its own process group, so that all of it can be ended.
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

# Servers in target/tmp and mounts in temporary folders have the pid of their test in their name. A test that was killed
# cannot remove them; those of a running test stay.
end_servers_of_ended_tests() {
  local left owner
  for left in "$root"/target/tmp/{kafka,postgres}-*-* "${TMPDIR:-/tmp}"/tributary-small-*-*; do
    owner=${left%-*} owner=${owner##*-}
    if ! [ -d "$left" ] || [ -d "/proc/$owner" ]; then continue; fi
    case ${left##*/} in
      kafka-*) "$scripts/kafka" down "$left" --wipe ;;
      postgres-*) "$scripts/postgres" down "$left" --wipe ;;
      *) umount "$left" 2>/dev/null || true; rmdir "$left" 2>/dev/null || true ;;
    esac
  done
}

# However the script ends, neither its step nor a server outlives it.
finish() {
  local code=$?
  trap '' INT TERM
  if [ -n "$step" ]; then kill -- "-$step" 2>/dev/null || true; wait "$step" 2>/dev/null || true; fi
  end_servers
  end_servers_of_ended_tests
  exit "$code"
}

finish_at_the_end() {
  trap finish EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}
