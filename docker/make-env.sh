#!/usr/bin/env bash
# Makes docker/.env from .env.example, with random secrets and readable for you alone; leaves one that is there as it is.
#
#   docker/make-env.sh                     for docker compose
#   docker/make-env.sh podman-compose      images that were built here are called localhost/… there
set -euo pipefail
cd "$(dirname "$0")"
[ ! -e .env ] || exit 0
random() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
sed -e "s/^AWS_ACCESS_KEY_ID=$/&$(random 10)/" -e "s/^AWS_SECRET_ACCESS_KEY=$/&$(random 20)/" \
  -e "s/^RAY_AUTH_TOKEN=$/&$(random 32)/" .env.example >.env.part
case ${1:-docker} in
  *podman-compose) echo 'PREFIX=localhost/' >>.env.part ;;
esac
mv .env.part .env
echo "make-env.sh: made docker/.env with random secrets" >&2
