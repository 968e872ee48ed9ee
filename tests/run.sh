#!/bin/sh
# Everything that must hold before a commit, from nothing: environment, install, lint, types, tests.
# Arguments go to pytest: sh tests/run.sh tests/video -k rotated
set -eu
ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$ROOT/examples/env.sh"

cd "$ROOT"
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-1000}" # as the command line sets it: short spins on a busy machine
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy propagate
"$PYTHON" -m pytest -q "$@" </dev/null
