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
# Two workers with a thread each: 3,000 tests in 6 minutes on two cores, where one process takes 12.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
"$PYTHON" -m pytest -q -n 2 --dist loadscope "$@" </dev/null
