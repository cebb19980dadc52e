"""Which trials share images that are decoded once, and that those which cannot read their own."""

from __future__ import annotations

from pathlib import Path

import pytest

import trickbag as tb
from tests.builders.images import image_folder, photo
from tests.builders.recipes import study_recipe
from tests.builders.runs import without_times
from tests.builders.studies import LimitedExecutor, results
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.study.log import StudyLog
from trickbag.study.shared_images import can_share_images, shared_images
from trickbag.study.study import Study


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 12 JPEGs, each large enough to be decoded at a fraction of its size."""
    images = {
        label: [photo(96, 80, seed)[:, ::step] for seed in range(12)]
        for label, step in (("a", 1), ("b", -1))
    }
    return image_folder(tmp_path_factory.mktemp("photos"), images, ".jpg")


def test_images_are_shared_where_all_trials_read_them_whole(photos: Path, tmp_path: Path) -> None:
    unscaled = DataConfig(source=str(photos), image_size=16)
    scaled = DataConfig(source=str(photos), image_size=16, dct_scaling=True)
    dataset = prepare(unscaled)
    for configs, shares in (
        ([unscaled, unscaled], True),
        ([unscaled, scaled], False),
        ([scaled], False),
    ):
        assert can_share_images(dataset, configs) is shares
        file = tmp_path / f"decoded {len(configs)} {shares}"
        decoded = shared_images(dataset, configs, tmp_path, file, StudyLog(), lambda: None)
        assert (decoded is not None) is file.exists() is shares


def test_an_arm_with_smaller_images_is_the_run_alone(photos: Path, tmp_path: Path) -> None:
    recipe = study_recipe(photos, data__image_size="16", training__lr="0.001")
    design = tb.OneAtATime(tricks=("mixup",), levels=("data.dct_scaling=true",))
    Study(recipe=recipe, design=design, seeds=2).run(LimitedExecutor(), tmp_path / "study")
    lines = {(line["label"], line["seed"]): line for line in results(tmp_path / "study").values()}
    (label,) = {label for label, _ in lines if "dct_scaling" in label}
    line = lines[label, 0]
    alone = tb.fit(
        recipe.only().set("data.dct_scaling", "true").set("training.keep", "last"),
        seed=0,
        out=tmp_path / "run",
    )
    assert without_times(alone.metrics) == line["metrics"]
    assert lines["bare", 0]["metrics"]["loss"] != line["metrics"]["loss"]
