#!/usr/bin/env bash
# Runs while an image is built: compiler.sh NAME. triton 3.6, which the lists for older drivers (-cuda12) have, compiles a
# launcher for each kernel while it runs; 3.7 launches by one C file that was compiled before. So those images have a C
# compiler, and no others.
set -euo pipefail
case $1 in
  *-cuda12)
    needed=(gcc libc6-dev)
    include=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_paths(scheme="posix_prefix")["include"])')
    [ -f "$include/Python.h" ] || needed+=(python3-dev)
    apt-get update
    apt-get install --yes --no-install-recommends "${needed[@]}"
    rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*
    ;;
esac
