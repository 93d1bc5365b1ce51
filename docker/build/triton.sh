#!/usr/bin/env bash
# Runs while an image is built: triton.sh NAME compiles the one C file that triton compiles when it first sees a GPU, so
# that the image needs no compiler. prebuilt-cc hands it out.
set -euo pipefail
name=$1
mkdir -p /layers/triton
# Only images for GPUs have a use for it.
if [ -f /opt/venv/cuda-driver ]; then
  python=/opt/venv/bin/python source=$(echo /opt/venv/lib/python3*/site-packages/triton/backends/nvidia/driver.c)
  include=$("$python" -c 'import sysconfig; print(sysconfig.get_paths(scheme="posix_prefix")["include"])')
  # python3-dev only where the base's Python has no headers (Debian's own); the official image has them.
  needed=(gcc libc6-dev)
  [ -f "$include/Python.h" ] || needed+=(python3-dev)
  apt-get update -qq
  apt-get install -qq --yes --no-install-recommends "${needed[@]}" >/dev/null
  # The driver's library is not here, only its name is wanted; --no-as-needed, or the name would be dropped.
  gcc -shared -o /tmp/libcuda.so.1 -Wl,-soname,libcuda.so.1 -x c /dev/null
  built=/layers/triton/opt/venv/prebuilt/$(sha256sum "$source" | cut -d' ' -f1).so
  mkdir -p "$(dirname "$built")"
  gcc "$source" -O3 -shared -fPIC -Wno-psabi -o "$built" \
    -Wl,--no-as-needed -L/tmp -l:libcuda.so.1 -I"$(dirname "$source")/include" -I"$include"
  echo "$name: triton's $(basename "$source") is $built"
fi
/opt/t2s/build/settle.sh /layers
