#!/usr/bin/env bash
# Runs while an image is built: environment.sh NAME torch|rest makes /opt/venv from NAME.txt beside this file: first what is
# big and changes seldom, then the rest. The same list gives the same bytes.
set -euo pipefail
here=$(dirname "$0") name=$1 venv=/opt/venv
list=$here/$name.txt
. "$here/access.sh"
# Here, in the layer's own command: copied from another stage it would stay in the image (60 MB).
make_uv /tmp/uv
uv=/tmp/uv/bin/uv

case $2 in
  torch)
    "$uv" venv --quiet --python "$(command -v python3)" "$venv"
    awk -v 'name=(torch|triton|nvidia-[a-z0-9-]+)' -f "$here/only.awk" "$list" >/tmp/list.txt
    if [ -s /tmp/list.txt ]; then
      "$uv" pip install --quiet --python "$venv/bin/python" --no-deps --require-hashes -r /tmp/list.txt
    fi
    rm /tmp/list.txt
    # The drivers that its CUDA runs on, for t2s-start: CUDA 13 wants R580, 12 by minor version compatibility R525
    # (docs.nvidia.com, CUDA Compatibility). The CPU build has CUDA's libraries too, but wants no driver.
    if [ "$name" != predict-cpu ]; then
      if grep -q '^nvidia-cuda-runtime==13' "$list"; then echo '580 13' >"$venv/cuda-driver"; fi
      if grep -q '^nvidia-cuda-runtime-cu12==' "$list"; then echo '525 12' >"$venv/cuda-driver"; fi
    fi
    ;;
  rest)
    "$uv" pip sync --quiet --python "$venv/bin/python" --require-hashes "$list"
    # Nobody uses them here: Ray's Java workers, and tests and C headers of packages that need no compiler (120 MB).
    (cd "$venv"/lib/python3*/site-packages && rm -rf ray/jars pyarrow/include pyarrow/tests pandas/tests numpy/tests numpy/*/tests)
    ;;
esac

# The root is read-only, so bytecode is made now. It names the source's digest, not its time; one process for each
# package and a fixed hash seed make it the same every time (marshal notes which objects are shared inside a process).
# A package may hold a file that is no Python 3 (a template): it stays as it is.
packages=$(echo "$venv"/lib/python3*/site-packages)
touch "$venv/compiled" # names of what the layer below has: written again, they would be in this one too
export PYTHONHASHSEED=0
(cd "$packages" && find . -mindepth 1 -maxdepth 1 \( -type d -o -name '*.py' \) | sort | { grep -vxFf "$venv/compiled" || true; }) >/tmp/new
(cd "$packages" && xargs -d '\n' -a /tmp/new -P "$(nproc)" -I{} \
  "$venv/bin/python" -W ignore -m compileall -qq -j 1 --invalidation-mode unchecked-hash "$packages/{}") || true
cat /tmp/new >>"$venv/compiled"
rm -rf /tmp/new /tmp/uv
"$here/settle.sh" "$venv"
