#!/usr/bin/env bash
# All checks, in the environment that is active: style, types, imports, the documentation's links, tests. Arguments go
# to pytest; without any, the tests run side by side, one process a core and four at most.
set -euo pipefail
cd "$(dirname "$0")/.."

python -m ruff check .
python -m ruff format --check .
python -m mypy
lint-imports --no-cache
# The site's pages are read and their links followed, without writing it.
if python -c "import sphinx, furo, myst_parser" 2> /dev/null; then
  site=$(mktemp -d)
  trap 'rm -r "$site"' EXIT
  python -m sphinx -c docs -b dummy -W --keep-going -q . "$site"
fi
if [ $# -eq 0 ]; then
  export OMP_NUM_THREADS=1 # the processes would take each other's cores
  set -- -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
fi
python -m pytest "$@"
