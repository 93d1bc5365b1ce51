#!/usr/bin/env bash
# Pack what train needs on a GPU host without a network, into parts that can be carried one by one.
#
#   scripts/gpu/pack_train.sh [OUT] [MORE…]  OUT/p0/part-0-of-2, …; OUT is .whl-train unless said otherwise
#   scripts/gpu/pack_train.sh --lock         resolve requirements-train.txt into locks/gpu-train.txt again
#
# Three minutes on two cores; `make setup-train` first. A part has at most 52 MB. MORE are folders that go along, such as
# models/smollm2-135m-instruct and what prepare has written: they arrive as models/NAME. On the host:
#
#   scripts/gpu/unpack.sh /tmp/t2s-train .whl-train/p*/*          all at once, or a part at a time
#   PYTHONPATH=/tmp/t2s-train/site:. python3 jobs/train.py CONFIG.yaml executor.kind=process
#
# `executor.kind=process` trains in that one process; `local` starts a Ray, which is packed too, half of everything,
# unless RAY=no is set.
set -euo pipefail
cd "$(dirname "$0")/../.."
uv=.venvs/uv/bin/uv
[ -x "$uv" ] || {
  echo "pack: $uv is wanted: make setup-train" >&2
  exit 2
}
platform=(--python-version 3.12 --python-platform x86_64-manylinux_2_35)
if [ "${1:-}" = --lock ]; then
  exec "$uv" pip compile scripts/gpu/requirements-train.txt --no-deps "${platform[@]}" --generate-hashes --no-header \
    --no-annotate --no-emit-index-url --quiet -o locks/gpu-train.txt
fi
out=${1:-.whl-train}
most=52000000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/models"
for folder in "${@:2}"; do cp -rL "$folder" "$work/models/"; done
"$uv" pip install --quiet --target "$work/site" "${platform[@]}" --no-deps --require-hashes -r locks/gpu-train.txt
# Not needed there: Ray's other languages and its reinforcement learning, commands, caches, the packages' own tests.
(cd "$work/site" && rm -rf bin ray/jars ray/rllib
[ "${RAY:-yes}" = yes ] || rm -rf ray ray-*
find . \( -name __pycache__ -o -name tests \) -type d -prune -exec rm -rf {} +)
tar c -C "$work" site models | xz -T2 -6 >"$work/all"
number=$((($(stat -c %s "$work/all") + most - 1) / most))
mkdir -p "$out"
rm -rf "$out"/p[0-9]
for ((index = 0; index < number; index++)); do
  mkdir "$out/p$index"
  split --number="$((index + 1))/$number" "$work/all" >"$out/p$index/part-$index-of-$number"
done
ls -l "$out"/p[0-9]/*
