#!/usr/bin/env bash
# Pack what predict and its benchmark need on a GPU host without a network, into parts that can be carried one by one.
#
#   scripts/gpu/pack_predict.sh [OUT]        OUT/p0/part-0-of-2, OUT/p1/part-1-of-2; OUT is .whl unless said otherwise
#   scripts/gpu/pack_predict.sh --lock       resolve requirements-predict.txt into locks/gpu-predict.txt again
#
# Five minutes on two cores; `make setup-predict` first. A part has at most 52 MB. On the host: scripts/gpu/unpack.sh.
# Besides the packages: Llama-3-8B's shape as a model folder (scripts/bench/gpu_model.py).
set -euo pipefail
cd "$(dirname "$0")/../.."
python=.venvs/predict-cpu/bin/python uv=.venvs/uv/bin/uv
[ -x "$python" ] && [ -x "$uv" ] || {
  echo "pack: $python and $uv are wanted: make setup-predict" >&2
  exit 2
}
platform=(--python-version 3.12 --python-platform x86_64-manylinux_2_35)
if [ "${1:-}" = --lock ]; then
  exec "$uv" pip compile scripts/gpu/requirements-predict.txt --no-deps "${platform[@]}" --generate-hashes --no-header \
    --no-annotate --no-emit-index-url --quiet -o locks/gpu-predict.txt
fi
out=${1:-.whl}
most=52000000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$uv" pip install --quiet --target "$work/site" "${platform[@]}" --no-deps --require-hashes -r locks/gpu-predict.txt
# Not needed for a dense model on one Hopper GPU: kernels of other architectures (Flash Attention 2 alone is 305 MB), of
# mixtures of experts, the Rust server, texts of other languages.
(cd "$work/site" && rm -rf bin vllm/vllm_flash_attn/_vllm_fa2_C.abi3.so vllm/_moe_C_stable_libtorch.abi3.so vllm/vllm-rs \
  vllm/third_party/deep_gemm vllm/third_party/fmha_sm100 vllm/_flashmla* vllm/_qutlass* pycountry/locales mistral_common/data
find . \( -name __pycache__ -o -name tests \) -type d -prune -exec rm -rf {} +)
"$python" scripts/bench/gpu_model.py "$work/models/llama3-8b-shape" >/dev/null
tar c -C "$work" site models | xz -T2 -6 >"$work/all"
number=$((($(stat -c %s "$work/all") + most - 1) / most))
mkdir -p "$out"
rm -rf "$out"/p[0-9]
for ((index = 0; index < number; index++)); do
  mkdir "$out/p$index"
  split --number="$((index + 1))/$number" "$work/all" >"$out/p$index/part-$index-of-$number"
done
ls -l "$out"/p[0-9]/*
