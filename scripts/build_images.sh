#!/usr/bin/env bash
# Build container images with Docker or, where its daemon is not there, with buildah.
#
#   scripts/build_images.sh base predict-cpu s3       t2s-base, t2s-predict-cpu, t2s-s3 (the default)
#   scripts/build_images.sh base train predict        for GPUs: R580 drivers or newer
#   CUDA=12 scripts/build_images.sh train predict     for older drivers (R525 or newer); the tag ends in -cuda12
#
#   TAG=…            tag of the images; t2s's version unless said otherwise
#   PREFIX=…         before the name: registry.example/team/ to push there; with buildah localhost/ unless said otherwise
#   BASE_IMAGE=…     the base, e.g. a registry mirror's (buildah wants its full name); docker/python-base.sh makes one without
#                    a registry
#   INDEX=…          package index, e.g. a mirror: https://mirror.example/simple
#   APT_MIRROR=…     Debian's packages, e.g. https://mirror.example (which has debian/ and debian-security/)
#   CA_FILE=…        certificates that the package index needs
#   BUILDER=…        docker or buildah
#   REVISION=…       for the images' labels, where the code is a copy without git
#   UV_CACHE=…       with buildah: a folder with uv's cache, read in place of the builder's own, never written
set -euo pipefail
cd "$(dirname "$0")/.."
die() {
  echo "build_images: $*" >&2
  exit 2
}

builder=${BUILDER:-}
if [ -z "$builder" ]; then
  if docker info >/dev/null 2>&1; then
    builder=docker
  elif command -v buildah >/dev/null; then
    builder=buildah
  else
    die "neither a Docker daemon nor buildah is here: start Docker, or apt install buildah"
  fi
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
tag=${TAG:-$version}
prefix=${PREFIX-$([ "$builder" = docker ] || echo localhost/)}
revision=${REVISION:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
suffix=
case ${CUDA:-13} in
  13) ;;
  12) suffix=-cuda12 ;;
  *) die "CUDA=$CUDA: wanted 12 or 13" ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build() { # build NAME TAG DOCKERFILE [build arguments]
  local image=$prefix$1:$2 file=$3 started=$SECONDS words=()
  shift 3
  words=(--build-arg "REVISION=$revision" --build-arg "VERSION=$version" "$@")
  [ -z "${BASE_IMAGE:-}" ] || words+=(--build-arg "BASE_IMAGE=$BASE_IMAGE")
  [ -z "${APT_MIRROR:-}" ] || words+=(--build-arg "APT_MIRROR=$APT_MIRROR")
  if [ -n "${INDEX:-}" ]; then # as a secret: it may hold a password, which a build argument would leave in the image
    printf '%s' "$INDEX" >"$work/index"
    words+=(--secret "id=index,src=$work/index")
  fi
  [ -z "${CA_FILE:-}" ] || words+=(--secret "id=ca,src=$CA_FILE")
  if [ "$builder" = docker ]; then
    DOCKER_BUILDKIT=1 docker build "${words[@]}" --file "$file" --tag "$image" .
  else
    [ -z "${UV_CACHE:-}" ] || words+=(--volume "$UV_CACHE:/media:O")
    # 1980-01-01 for everything, as docker/build/settle.sh has it; a base that is here already is not asked for again.
    buildah build --isolation chroot --layers --pull=false --timestamp 315532800 \
      --ignorefile "$file.dockerignore" "${words[@]}" --file "$file" --tag "$image" .
  fi
  echo "$image: $((SECONDS - started)) s"
}

[ $# -gt 0 ] || set -- base predict-cpu s3
for name in "$@"; do
  case $name in
    base) build t2s-base "$tag" docker/Dockerfile --build-arg ENVIRONMENT=core ;;
    predict-cpu) build t2s-predict-cpu "$tag" docker/Dockerfile --build-arg ENVIRONMENT=predict-cpu ;;
    train | predict) build "t2s-$name" "$tag$suffix" docker/Dockerfile --build-arg "ENVIRONMENT=$name$suffix" ;;
    s3) build t2s-s3 "$tag" docker/s3.Dockerfile ;;
    *) die "no image is called $name: base, train, predict, predict-cpu or s3" ;;
  esac
done
