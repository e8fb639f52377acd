# Sourced after lib.sh by what runs Python with packages from PyPI: a virtual environment under target/.
# From the environment, optional:
#   PYTHON   the Python to make the environment with (3.10 to 3.12)

# fits PYTHON: true where it runs and is of a version that every package knows.
fits() { "$1" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; }

find_python() {
  for python in ${PYTHON:-python3 python3.12 python3.11 python3.10}; do
    if fits "$python"; then return; fi
  done
  fail 69 "Python 3.10 to 3.12 with its venv module is needed: install it with \`sudo apt-get install python3-venv\`, or name one in PYTHON"
}

# make_venv PLACE REQUIREMENTS: an environment is complete when it was made of just these requirements; half of one is made again.
make_venv() {
  local place=$1 wanted; wanted=$(cksum <"$2")
  if [ "$(cat "$place/complete" 2>/dev/null)" = "$wanted" ]; then return; fi
  find_python
  say "installing ${2#"$root/"} from PyPI into ${place#"$root/"} (once)"
  rm -rf "$place"
  "$python" -m venv "$place"
  "$place/bin/pip" install --quiet --disable-pip-version-check -r "$2" >&2 \
    || fail 69 "${2#"$root/"} could not be installed from PyPI; is the network there?"
  echo "$wanted" >"$place/complete"
}
