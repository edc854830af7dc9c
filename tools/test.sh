#!/usr/bin/env bash
# All checks, in the environment that is active: style, types, imports, tests. Arguments go to pytest; without any, the
# tests run side by side, one process a core and four at most.
set -euo pipefail
cd "$(dirname "$0")/.."

python -m ruff check .
python -m ruff format --check .
python -m mypy
lint-imports --no-cache
if [ $# -eq 0 ]; then
  export OMP_NUM_THREADS=1 # the processes would take each other's cores
  set -- -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
fi
python -m pytest "$@"
