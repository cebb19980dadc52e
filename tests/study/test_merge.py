"""Shards of a study, and their merge."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import trickbag as tb
from tests.builders.studies import LimitedExecutor, effects, results, two_trick_study
from trickbag.errors import UserError
from trickbag.study.merge import merge
from trickbag.study.study import Study


@pytest.fixture(scope="module")
def study(pictures: Path) -> Study:
    return two_trick_study(pictures)


@pytest.fixture(scope="module")
def finished(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study, undisturbed; read only."""
    out = tmp_path_factory.mktemp("whole") / "study"
    study.run(LimitedExecutor(), out)
    return out


def forget_setting(file: Path) -> None:
    """Make a shard one of a version that did not have a setting yet."""
    record = json.loads(file.read_text())
    for recipe in (record["recipe"], record["registration"]["design"]["recipe"]):
        del recipe["training"]["small_maps"]
    file.write_text(json.dumps(record))


@pytest.mark.slow
def test_shards_together_are_the_study(study: Study, finished: Path, tmp_path: Path) -> None:
    ran = []
    for part in (1, 2):
        executor = LimitedExecutor()
        dataclasses.replace(study, shard=(part, 2)).run(executor, tmp_path / str(part))
        ran.append(executor.ran)
    assert [len(trials) for trials in ran] == [3, 3]
    assert not set(ran[0]) & set(ran[1])
    forget_setting(tmp_path / "2" / "study.json")
    findings = merge([tmp_path / "1", tmp_path / "2"], tmp_path / "all")
    assert effects(tmp_path / "all") == effects(finished)
    assert results(tmp_path / "all") == results(finished)
    assert len(findings.results) == 6
    after = LimitedExecutor()
    dataclasses.replace(study, seeds=3).run(
        after, tmp_path / "all"
    )  # what was merged goes on as any study
    assert [name for name in after.ran if not name.endswith("/2")] == []
    with pytest.raises(UserError, match="already holds a study"):
        merge([tmp_path / "1"], tmp_path / "all")
    with pytest.raises(UserError, match="is no study's folder"):
        merge([tmp_path / "1", tmp_path], tmp_path / "new")


@pytest.mark.slow
def test_shards_of_different_studies(study: Study, tmp_path: Path) -> None:
    first = dataclasses.replace(
        study, design=tb.LeaveOneOut(tricks=("mixup",)), seeds=1, shard=(1, 2)
    )
    second = dataclasses.replace(first, recipe=study.recipe.set("training.lr", "0.2"), shard=(2, 2))
    for part in (first, second):
        part.run(LimitedExecutor(), tmp_path / f"{part.shard}")
    with pytest.raises(
        UserError, match=r"are of different studies: recipe.training.lr \(0.2, not 0.4\)"
    ):
        merge([tmp_path / "(1, 2)", tmp_path / "(2, 2)"], tmp_path / "all")
    assert not (tmp_path / "all").exists()
