"""Fixtures for all tests: real images on disk, and caches that stay out of the user's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.images import shape_folder
from trickbag.data.cores import threads_set, usable_cores


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip every test of a GPU where there is none, before its fixtures are set up."""
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no CUDA device")


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        # Otherwise runs whose threads are open would follow from what else the machine does.
        if threads_set() is None:
            patch.setenv("OMP_NUM_THREADS", str(usable_cores()))
        yield


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 3 classes with 20 PNG pictures each; read only."""
    return shape_folder(tmp_path_factory.mktemp("pictures") / "shapes", 20)
