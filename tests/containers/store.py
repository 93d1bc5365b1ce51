"""SeaweedFS in its container, seen from the other containers and from here."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tests.containers.podman import Podman, wait_for
from tests.servers import ACCESS_KEY, BUCKET, SECRET_KEY, free_ports

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class StoreContainer:
    """One bucket; hardened as compose.yaml has it.

    Args:
        podman: Where it runs.
        image: t2s-s3.
    """

    bucket = BUCKET

    def __init__(self, podman: Podman, image: str) -> None:
        (self._port,) = free_ports(1)
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        self.env = {
            **keys,
            "AWS_ENDPOINT_URL": "http://s3:8333",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.container = podman.start(
            image,
            name=f"{podman.name}-s3",
            env={**keys, "S3_BUCKET": BUCKET},
            options=["--volume=/data", f"--publish=127.0.0.1:{self._port}:8333", "--network-alias=s3"],
        )

        def is_ready() -> bool:
            return self.container.exec("test", "-f", "/tmp/ready", check=False).returncode == 0

        wait_for(is_ready, 120, "the S3 server", self.container.logs)

    @cached_property
    def client(self) -> S3Client:
        """A client on this side."""
        import boto3.session

        return boto3.session.Session().client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self._port}",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
        )

    def read(self, uri: str) -> bytes:
        """One object."""
        return self.client.get_object(Bucket=self.bucket, Key=self._key(uri))["Body"].read()

    def read_json(self, uri: str) -> Any:
        """One object that is JSON."""
        return json.loads(self.read(uri))

    def names(self, uri: str) -> list[str]:
        """Names of the objects below a prefix that ends with a slash."""
        prefix = self._key(uri)
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", [])]

    def _key(self, uri: str) -> str:
        return uri.removeprefix(f"s3://{self.bucket}/")
