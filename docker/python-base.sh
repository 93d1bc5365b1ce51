#!/usr/bin/env bash
# The base image without a registry: Debian with its own Python, made from Debian's packages alone.
#
#   docker/python-base.sh localhost/python-base:3.11
#   BASE_IMAGE=localhost/python-base:3.11 scripts/build_images.sh base
#
# APT_MIRROR=https://mirror.example    Debian's packages from there: debian/ and debian-security/
#
# Needs root, debootstrap and buildah (apt install debootstrap buildah), and two minutes.
set -euo pipefail
name=${1:?python-base.sh NAME: wanted a name for the image, e.g. localhost/python-base:3.11}
work=$(mktemp -d)
failed() {
  tail -n 20 "$work/log" >&2
  exit 1
}
trap 'rm -rf "$work"' EXIT
# bookworm has Python 3.11.
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/root" \
  ${APT_MIRROR:+"$APT_MIRROR/debian"} >"$work/log" 2>&1 || failed
read -r _ mirror _ <"$work/root/etc/apt/sources.list" # where debootstrap took them from
echo "deb $mirror bookworm main
deb $mirror bookworm-updates main
deb $mirror-security bookworm-security main" >"$work/root/etc/apt/sources.list"
chroot "$work/root" sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get upgrade -qq --yes' >>"$work/log" 2>&1 ||
  failed
# As Debian's slim images: no manuals, no translations; the licences stay.
find "$work/root/usr/share/doc" ! -type d ! -name copyright -delete
find "$work/root/usr/share/doc" -type d -empty -delete
rm -rf "$work"/root/usr/share/{info,locale,man}/*
rm -rf "$work"/root/var/{lib/apt/lists,cache,log}/* "$work"/root/{dev,run,tmp}/* "$work/root/etc/machine-id"
container=$(buildah from scratch)
buildah add --quiet "$container" "$work/root" / >/dev/null
buildah config --env PATH=/usr/local/bin:/usr/bin:/bin --cmd python3 "$container"
buildah commit --quiet --rm --timestamp 0 "$container" "$name" >/dev/null
echo "$name: $(buildah inspect --type image --format '{{.FromImageDigest}}' "$name")"
