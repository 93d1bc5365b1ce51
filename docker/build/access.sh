#!/bin/sh
# Sourced while an image is built: where packages come from, out of the build's secrets; and the installer.
if [ -s /run/secrets/index ]; then
  UV_DEFAULT_INDEX=$(cat /run/secrets/index)
  PIP_INDEX_URL=$UV_DEFAULT_INDEX
  export UV_DEFAULT_INDEX PIP_INDEX_URL
fi
if [ -s /run/secrets/ca ]; then
  export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=300
# The cache is a mount of its own, and what is in it must not be shared with the image's files.
export UV_LINK_MODE=copy
# The builder's cache is mounted at /mnt; one that was there before (UV_CACHE of scripts/build_images.sh) at /media.
export UV_CACHE_DIR=/mnt
if [ -f /media/CACHEDIR.TAG ]; then UV_CACHE_DIR=/media; fi

make_uv() { # make_uv FOLDER: FOLDER/bin/uv
  python3 -m venv "$1"
  "$1/bin/pip" install --quiet --no-cache-dir --only-binary :all: --require-hashes -r /opt/t2s/build/uv.txt
}
