#!/usr/bin/env bash
# On a GPU host without a network: take in parts that pack_predict.sh made; with the last one, unpack them all.
#
#   scripts/gpu/unpack.sh FOLDER PART…       FOLDER/site goes into PYTHONPATH, FOLDER/models/llama3-8b-shape is a model
#
#   scripts/gpu/unpack.sh /tmp/t2s .whl/p0/*
#   scripts/gpu/unpack.sh /tmp/t2s .whl/p1/*
#   PYTHONPATH=/tmp/t2s/site python3 scripts/bench/gpu_bench.py --model /tmp/t2s/models/llama3-8b-shape
set -euo pipefail
folder=$1
shift
mkdir -p "$folder/parts"
cp "$@" "$folder/parts/"
names=("$folder"/parts/part-*-of-*)
number=${names[0]##*-of-}
if [ "${#names[@]}" -lt "$number" ]; then
  echo "unpack: ${#names[@]} of $number parts are here"
  exit 0
fi
[ ! -e "$folder/site" ] || exit 0
mkdir "$folder/new"
for ((index = 0; index < number; index++)); do cat "$folder/parts/part-$index-of-$number"; done |
  xz -dc -T0 | tar x -C "$folder/new"
mv "$folder/new"/* "$folder/"
rm -rf "$folder/parts" "$folder/new"
echo "unpack: $(du -sh "$folder" | cut -f1) in $folder"
