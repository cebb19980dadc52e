from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders.images import digit_folder
from tests.builders.runs import train
from trickbag.evaluate import Predictor, Trained

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digit_folder(
        tmp_path_factory.mktemp("photos") / "photos", {"one": 1, "three": 3, "zero": 0}, 15
    )


@pytest.fixture(scope="session")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run; nobody writes into it."""
    return train(photos, tmp_path_factory.mktemp("runs") / "folder", "--epochs", "3")


@pytest.fixture(scope="session")
def trained(run: Path) -> Trained:
    return Trained.load(run, "cpu")


@pytest.fixture(scope="session")
def predictor(run: Path) -> Predictor:
    return Predictor.load(run, device="cpu")
