#!/usr/bin/env bash
# Runs while an image is built: what an editable install of t2s leaves in /opt/venv (version, the command, where the code
# is), apart from the packages and apart from the code, since it changes with pyproject.toml alone.
set -euo pipefail
. /opt/t2s/build/access.sh
mkdir -p /opt/t2s/t2s
touch /opt/t2s/t2s/__init__.py /opt/t2s/README.md # pyproject.toml names them; what they say is not wanted here
/opt/uv/bin/uv venv --quiet --python "$(command -v python3)" /opt/venv
/opt/uv/bin/uv pip install --quiet --python /opt/venv/bin/python --no-deps --build-constraints /locks/build.txt -e /opt/t2s
packages=$(echo /opt/venv/lib/python3*/site-packages)
mkdir -p "/layers/project$packages" /layers/project/opt/venv/bin
mv "$packages"/*t2s.pth "$packages"/t2s-*.dist-info "/layers/project$packages/"
rm -f /layers/project"$packages"/t2s-*.dist-info/uv_cache.json # times of the build
mv /opt/venv/bin/t2s /layers/project/opt/venv/bin/
/opt/t2s/build/settle.sh /layers
