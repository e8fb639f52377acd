# Sourced after lib.sh by the scripts that run Python with packages from PyPI: a virtual environment under target/.
# From the environment, optional:
#   PYTHON   the Python to make the environment with (3.10 to 3.12)

# fits PYTHON: true if it runs and every package supports its version.
fits() { "$1" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; }

find_python() {
  for python in ${PYTHON:-python3 python3.12 python3.11 python3.10}; do
    if fits "$python"; then return; fi
  done
  fail 69 "Python 3.10 to 3.12 with its venv module is needed: install it with \`sudo apt-get install python3-venv\`, or name one in PYTHON"
}

# make_venv DIR REQUIREMENTS: creates the environment, unless a complete one with exactly these requirements exists.
make_venv() {
  local venv=$1 wanted; wanted=$(cksum <"$2")
  if [ "$(cat "$venv/complete" 2>/dev/null)" = "$wanted" ]; then return; fi
  find_python
  say "installing ${2#"$root/"} from PyPI into ${venv#"$root/"} (once)"
  rm -rf "$venv"
  "$python" -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$2" >&2 \
    || fail 69 "${2#"$root/"} could not be installed from PyPI; is the network available?"
  echo "$wanted" >"$venv/complete"
}
