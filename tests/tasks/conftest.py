"""A run of each task but classification, trained once for all tests here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders.tasks import TASKS, task_recipe
from trickbag.data.dataset import Dataset, prepare
from trickbag.recipe import Recipe
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog


@pytest.fixture(scope="session", params=list(TASKS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def recipe(name: str, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return task_recipe(name, TASKS[name].data(tmp_path_factory.mktemp(name)))


@pytest.fixture(scope="session")
def dataset(recipe: Recipe) -> Dataset:
    return prepare(recipe.data, annotations=recipe.task.annotations)


@pytest.fixture(scope="session")
def reference(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "reference"
    fit(recipe, 3, folder, log=RunLog())
    return folder
