#!/usr/bin/env bash
# Runs while an image is built: the code with its bytecode, the same bytes wherever it was checked out (modes differ by
# umask). Bytecode names the source's digest, not its time.
set -euo pipefail
mkdir -p /code/usr/local/bin /code/opt /opt/t2s
cd /context
mv t2s jobs configs scripts /opt/t2s/
mv docker/bin/* /code/usr/local/bin/
chmod 755 /code/usr/local/bin/*
PYTHONHASHSEED=0 python3 -m compileall -q -j 1 --invalidation-mode unchecked-hash /opt/t2s/t2s /opt/t2s/jobs /opt/t2s/scripts
mkdir /code/opt/t2s
mv /opt/t2s/t2s /opt/t2s/jobs /opt/t2s/configs /opt/t2s/scripts /code/opt/t2s/
/opt/t2s/build/settle.sh /code
