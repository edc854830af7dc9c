#!/usr/bin/env bash
# All checks, in the environment that is active: style, types, imports, tests. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

python -m ruff check .
python -m ruff format --check .
python -m mypy
lint-imports --no-cache
python -m pytest "$@"
