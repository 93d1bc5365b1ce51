"""Images, an S3 server in its container, and the sample data in it: made once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.containers import images
from tests.containers.podman import Podman
from tests.containers.store import StoreContainer


@pytest.fixture(scope="session")
def base_image() -> str:
    """t2s-base: minutes for the first time, seconds after a change of the code."""
    images.build(["base"])
    return images.image("base")


@pytest.fixture(scope="session")
def predict_image() -> str:
    """t2s-predict-cpu: 6 GB."""
    images.build(["predict-cpu"])
    return images.image("predict-cpu")


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    """Containers that end with the tests."""
    with Podman() as podman:
        yield podman


@pytest.fixture(scope="session")
def store(podman: Podman) -> StoreContainer:
    """An S3 server in its container, as compose.yaml has it."""
    images.build(["s3"])
    return StoreContainer(podman, images.image("s3"))


@pytest.fixture(scope="session")
def sample_uri(podman: Podman, store: StoreContainer, base_image: str) -> str:
    """The sample data in that store."""
    uri = f"s3://{store.bucket}/datasets/sample"
    podman.run(base_image, "sample-data", uri, env=store.env)
    return uri
