"""Runs that ask torch for deterministic algorithms, and what ends them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pytest
import torch

from tests.builders.recipes import bare_recipe, tiny_recipe
from trickbag.errors import RunFailed
from trickbag.train.fit import fit
from trickbag.train.machine.determinism import determinism_failure, deterministic_algorithms
from trickbag.train.machine.isolation import isolated
from trickbag.tricks.trick import Trick

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.functional.batch import Batch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def flags() -> tuple[bool, bool, bool, str | None]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        os.environ.get(WORKSPACE),
    )


@pytest.fixture(params=[None, ":16:8"])
def workspace(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str | None:
    monkeypatch.delenv(WORKSPACE, raising=False)
    if request.param:
        monkeypatch.setenv(WORKSPACE, request.param)
    return request.param


def fail_inside(workspace: str) -> None:
    with isolated(1, "cpu", deterministic=True):
        assert flags() == (True, False, False, workspace)
        raise ZeroDivisionError


@pytest.mark.parametrize("before", ["off", "warn"])
def test_the_callers_settings_come_back(before: str, workspace: str | None) -> None:
    torch.use_deterministic_algorithms(before == "warn", warn_only=True)
    torch.backends.cudnn.benchmark = True
    try:
        outside = flags()
        with pytest.raises(ZeroDivisionError):
            fail_inside(workspace or ":4096:8")
        assert flags() == outside
        with isolated(1, "cpu"), deterministic_algorithms(False):
            assert flags() == outside
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = False


@dataclass(frozen=True, kw_only=True)
class Puts(Trick):
    """A stranger's trick with an operation that has no deterministic algorithm."""

    name: ClassVar[str] = "puts"
    paper: ClassVar[str] = "none"

    def batch(self, batch: Batch, *draw: torch.Tensor) -> Batch:
        places = torch.zeros(1, dtype=torch.int64)
        return batch._replace(images=batch.images.clone().put_(places, torch.zeros(1)))


def test_an_operation_without_deterministic_algorithm_ends_the_run(
    pictures: Path, tmp_path: Path
) -> None:
    recipe = bare_recipe(pictures, Puts(), training__epochs="1")
    fit(recipe, out=tmp_path / "plain")
    with pytest.raises(RunFailed, match=r"training.deterministic = True: put_ does not") as failed:
        fit(recipe.set("training.deterministic", "true"), out=tmp_path / "asked")
    assert "training.deterministic=false" in str(failed.value)
    assert "\n" not in str(failed.value)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("error", [RuntimeError("another"), RunFailed("reported already")])
def test_other_errors_are_left_alone(error: Exception) -> None:
    assert determinism_failure(error) is None


def test_a_run_on_a_cpu_is_the_same_bits_and_says_that_the_setting_does_nothing(
    pictures: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(pictures, epochs=1)
    deterministic = recipe.set("training.deterministic", "true")
    assert deterministic.id != recipe.id
    fit(recipe, out=tmp_path / "plain")
    result = fit(deterministic, out=tmp_path / "asked")
    weights = [(tmp_path / name / "best.safetensors").read_bytes() for name in ("plain", "asked")]
    assert weights[0] == weights[1]
    (note,) = (note for note in result.warnings if "deterministic" in note)
    assert note.startswith("training.deterministic changes nothing")
    assert not torch.are_deterministic_algorithms_enabled()
