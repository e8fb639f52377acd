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

# What tests start in target/tmp and mount in a temporary folder bears their process's number: when that was ended from
# outside it could not put them away itself. Those of a test that lives are its own.
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

# Whatever ends the script, neither its step nor a server outlives it.
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
