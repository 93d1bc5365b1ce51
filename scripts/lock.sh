#!/usr/bin/env bash
# Resolve every environment of pyproject.toml into locks/*.txt: hash-pinned, valid for Python 3.11 and 3.12, and without
# any index's address, so that each list installs from whatever mirror the user has. Run it after a change of dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-uv}
lock() { # lock NAME [uv's words for the extras and groups]
  "$uv" pip compile pyproject.toml "${@:2}" --override locks/overrides.txt --universal --python-version 3.11 \
    --fork-strategy fewest --generate-hashes --no-header --no-annotate --no-emit-index-url --quiet -o "locks/$1.txt"
  # `environments` in pyproject.toml limits the resolution to 64-bit Linux; the marker on each line would only repeat it.
  sed -i -E "s/ ; python_full_version < '3.13' and platform_machine == 'x86_64' and sys_platform == 'linux'( \\\\)?$/\1/" "locks/$1.txt"
  echo "locks/$1.txt: $(grep -c '==' "locks/$1.txt") packages"
}
lock core
lock dev --group dev
lock predict --extra predict
lock predict-cpu --extra predict-cpu --group test
lock train --extra train --group test
