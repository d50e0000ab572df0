#!/usr/bin/env bash
# Sets up once, then runs the suite. See --help.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

say() { printf '%s\n' "$*" >&2; }

# The environment: an active virtual environment or conda environment is used as it is, else .venv beside this file.
# With OMZ_NEWEST=1 always .venv-newest, which holds the newest versions that setup.cfg allows.
newest="${OMZ_NEWEST:-}"
if [[ -z "$newest" && -n "${VIRTUAL_ENV:-}" ]]; then
  python="$VIRTUAL_ENV/bin/python"
elif [[ -z "$newest" && -n "${CONDA_PREFIX:-}" && "${CONDA_DEFAULT_ENV:-base}" != base ]]; then
  python="$CONDA_PREFIX/bin/python"
else
  venv="${OMZ_VENV:-$root/.venv${newest:+-newest}}"
  if [[ ! -x "$venv/bin/python" ]]; then
    base=""
    for candidate in python3 python3.13 python3.12 python3.11; do
      if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then base="$candidate"; break; fi
    done
    [[ -n "$base" ]] || { say "error: no Python 3.11 or newer found ($(python3 -V 2>&1 || true)); install one"; exit 2; }
    say "creating $venv"
    "$base" -m venv "$venv"
  fi
  python="$venv/bin/python"
fi

# Installing: once per lock file, of the newest once a day. A torch that satisfies the floor is kept, whatever its build.
stamp="$("$python" -c 'import sys; print(sys.prefix)')/.offline-marl-zoo"
wanted="$(cat "$root/requirements.lock" "$root/setup.cfg" | cksum) $root${newest:+ newest of $(date -u +%F)}"
if [[ "$(cat "$stamp" 2>/dev/null || true)" == "$wanted" ]]; then
  :
elif [[ -n "$newest" ]]; then
  say "installing the newest versions that setup.cfg allows"
  "$python" -m pip install -q --disable-pip-version-check --upgrade --upgrade-strategy eager -e "$root[test,cluster,export]"
  printf '%s\n' "$wanted" > "$stamp"
else
  say "installing what requirements.lock names"
  lock="$(mktemp)"
  trap 'rm -f "$lock"' EXIT
  if "$python" -c 'import sys, torch; sys.exit(tuple(map(int, torch.__version__.split(".")[:2])) < (2, 11))' 2>/dev/null; then
    grep -v '^torch==' "$root/requirements.lock" > "$lock"
  else
    cp "$root/requirements.lock" "$lock"
  fi
  "$python" -m pip install -q --disable-pip-version-check -r "$lock"
  "$python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e "$root"
  printf '%s\n' "$wanted" > "$stamp"
fi

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" PYTHONWARNINGS="${PYTHONWARNINGS:-ignore}"
if [[ "${1:-}" == test ]]; then
  shift
  cd "$root"
  # A process for every core; `-n 0` for none but this one, as a debugger needs it
  exec "$python" -m pytest -n auto --dist loadfile --no-loadscope-reorder "$@"
fi
if [[ "${1:-}" == *.py ]]; then exec "$python" "$@"; fi
exec "$python" -m common.suite "$@"
