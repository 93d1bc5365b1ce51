#!/usr/bin/env bash
# The sample in containers, from nothing to its score: images, an S3 server, predict and evaluate, one after the other.
#
#   docker/demo.sh           the small model on the CPU
#   docker/demo.sh gpu       the same on this machine's NVIDIA GPU
#
# Needs Docker with compose, or podman, podman-compose and buildah; no Python, no account. Makes docker/.env with random
# secrets if there is none. BASE_IMAGE, INDEX, APT_MIRROR: as scripts/build_images.sh has them. COMPOSE: the compose command.
set -euo pipefail
cd "$(dirname "$0")"
case ${1:-cpu} in
  cpu) predict=predict-cpu ;;
  gpu) predict=predict ;;
  *)
    echo "demo.sh: wanted cpu or gpu, found $1" >&2
    exit 2
    ;;
esac
if [ -n "${COMPOSE:-}" ]; then
  read -ra compose <<<"$COMPOSE"
elif docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
  compose=(docker compose)
elif command -v podman-compose >/dev/null; then
  compose=(podman-compose)
else
  echo "demo.sh: neither a Docker daemon with compose nor podman-compose is here" >&2
  exit 2
fi
./make-env.sh "${compose[0]}"
../scripts/build_images.sh base "$predict" s3

run=s3://t2s/runs/sample
gold=s3://t2s/datasets/sample/test_data/test_gold.json
"${compose[@]}" up --detach s3
# podman-compose does not wait for health.
for _ in {1..60}; do
  "${compose[@]}" exec -T s3 test -f /tmp/ready 2>/dev/null && break
  sleep 1
done
# docker compose needs no profile for a service that is named, podman-compose does.
run_job() { "${compose[@]}" --profile jobs run --rm "$@"; }
run_job sample-data
run_job "$predict" configs/predict_sample.yaml "run_uri=$run" \
  dataset_uri=s3://t2s/datasets/sample/test_data/test.json
run_job evaluate configs/evaluate_sample.yaml "run_uri=$run" "gold_uri=$gold"
