# Sourced by the other scripts: functions that several of them need.
set -euo pipefail
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$scripts")

# say TEXT: one line for the person at the terminal; stdout stays free for results.
say() { echo "$*" >&2; }

# fail CODE SENTENCE: ends with one sentence that says what to do. Codes: 64 usage, 69 something is unavailable.
fail() { say "$2"; exit "$1"; }

# whole NAME VALUE: ends unless the setting is a whole number above 0.
whole() { [[ $2 =~ ^[1-9][0-9]{0,8}$ ]] || fail 64 "$1 is a whole number from 1 to 999999999, not \`$2\`"; }

# run_tests ARGUMENT… -- FILTER…: `cargo test`, but fails if the filter matches no test.
run_tests() {
  cargo test --quiet "$@" --list 2>/dev/null | grep ': test$' >/dev/null || { say "no test has such a name: $*"; return 1; }
  cargo test --quiet "$@"
}

have() { command -v "$1" >/dev/null 2>&1; }

# may_install: true where packages can be installed without a question.
may_install() { [ "$(id -u)" = 0 ] && have apt-get; }

# apt_install PACKAGE…: installs Debian packages without questions; package lists are fetched when they are missing or old.
apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  say "installing $*"
  local log; log=$(mktemp)
  apt-get install -y --no-install-recommends "$@" >"$log" 2>&1 && { rm -f "$log"; return; }
  { apt-get update && apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1 && { rm -f "$log"; return; }
  tail -n 20 "$log" >&2
  rm -f "$log"
  return 1
}

# free_port COUNT: prints a loopback port such that it and the COUNT-1 above it are free. It is below the ports that
# the kernel gives to outgoing connections, so that none of those can take it.
free_port() {
  local port i
  for _ in $(seq 50); do
    port=$((10240 + (RANDOM * 32768 + RANDOM) % 20000))
    for ((i = 0; i < $1; i++)); do
      if (exec 3<>"/dev/tcp/127.0.0.1/$((port + i))") 2>/dev/null; then continue 2; fi
    done
    echo "$port"
    return
  done
  fail 69 "no free port was found on 127.0.0.1 between 10240 and 30240"
}

# runs PID TEXT: true while process PID lives and its command line contains TEXT. A zombie, or another program with
# a reused pid, does not count.
runs() { tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF -- "$2"; }

# wait_gone PID TEXT SECONDS: true as soon as the process has ended, false after SECONDS.
wait_gone() {
  for _ in $(seq $(($3 * 10))); do runs "$1" "$2" || return 0; sleep 0.1; done
  ! runs "$1" "$2"
}

# absolute DIR: makes the folder, and prints its path from the root.
absolute() { mkdir -p "$1" && (cd "$1" && pwd -P); }

# alone DIR: waits until no other call works on DIR, for at most two minutes. Started programs must close descriptor 9.
alone() {
  exec 9>"$1/lock"
  flock -w 120 9 || fail 69 "another call has been working on $1 for two minutes"
}

# development_crates: prints the folders of the crates that no program depends on, by their manifests.
development_crates() { (cd "$root" && grep -l '^description = "Development only' crates/*/Cargo.toml | sed 's:/Cargo.toml$::'); }
