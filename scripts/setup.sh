#!/bin/sh
# setup.sh PYTHON VENV: make the development environment that constraints.txt pins.
set -eu
python=$1 venv=$2

fail() { echo "setup: $*" >&2; exit 1; }

[ -n "$python" ] || fail "no python3 found; install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.11"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$python is older than Python 3.11; name a newer one: make PYTHON=/path/to/python3.11"

echo "setup: development environment in $venv ($("$python" --version))"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv" ||
  fail "$python cannot make virtual environments (on Debian: apt-get install python3-venv)"
"$venv/bin/python" -m pip install -q --disable-pip-version-check "$(grep '^uv==' constraints.txt)" ||
  echo "setup: uv cannot be installed; pip does it, more slowly" >&2

if [ -x "$venv/bin/uv" ]; then
  install="$venv/bin/uv pip install -q --python $venv/bin/python"
else
  install="$venv/bin/python -m pip install -q --disable-pip-version-check"
fi
$install -r constraints.txt || fail "a package of constraints.txt is missing: is a package index reachable?"
$install --no-deps -e . || fail "the provider itself could not be installed"
