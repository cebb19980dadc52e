"""A teacher and the data that the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders.teachers import teacher_file
from tests.train.teachers.batches import recipe
from trickbag.data.dataset import Dataset, prepare


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(teacher_file(tmp_path_factory.mktemp("teacher") / "best.safetensors"))


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(recipe(pictures).data)
