"""A run's folder from its first moment on: what it holds, and when it is given back."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.builders.recipes import tiny_recipe
from trickbag.cli import _parser
from trickbag.cli.train import trial_from
from trickbag.errors import RunFailed, Stopped, UserError
from trickbag.train import fit as fit_module
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog
from trickbag.train.folder.run_folder import RunFolder
from trickbag.train.folder.run_recipe import RunRecipe


class StoppedEarly(RunLog):
    """Stops the run while its images are checked, and keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def checking(self, done: int, total: int) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_a_run_that_is_stopped_before_its_first_step_goes_on_without_arguments(
    pictures: Path, tmp_path: Path
) -> None:
    recipe, out = tiny_recipe(pictures).without("mixup"), tmp_path / "run"
    with pytest.raises(Stopped, match="before the first step"):
        fit(recipe, seed=3, out=out, log=StoppedEarly())
    stored = RunRecipe.read(RunFolder(out).recipe)
    assert stored is not None
    assert not stored.has_plan
    args = _parser(["train"]).parse_args(["train", "--resume", "--out", str(out)])
    assert trial_from(args) == (recipe, 3)
    with pytest.raises(UserError, match="already holds a run: add resume=True"):
        fit(recipe, seed=3, out=out)
    with pytest.raises(UserError, match=r"differ: recipe.training.lr \(0.2, not 0.4\); choose"):
        fit(recipe.set("training.lr", "0.2"), seed=3, out=out, resume=True)
    with pytest.raises(UserError, match=r"differ: seed \(4, not 3\); choose"):
        fit(recipe, seed=4, out=out, resume=True)
    assert RunRecipe.read(RunFolder(out).recipe) == stored


def test_what_starts_anew_is_named(pictures: Path, tmp_path: Path) -> None:
    log = StoppedEarly()
    for _ in range(2):
        with pytest.raises(Stopped):
            fit(tiny_recipe(pictures), 3, tmp_path / "run", resume=True, log=log)
    assert log.notes == [
        f"{tmp_path / 'run'} holds no run yet: this call starts one (recipe small, data {pictures},"
        " seed 3)"
    ]


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (UserError("wrong"), False),
        (RunFailed("too many bad files"), False),
        (RuntimeError("a fault"), False),
        (KeyboardInterrupt(), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_folder_is_given_back_where_no_run_can_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, kept: bool
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(fit_module, "prepare", fail)
    new, empty, resumed = (tmp_path / name for name in ("new", "empty", "resumed"))
    empty.mkdir()
    resumed.mkdir()
    RunRecipe.without_plan(tiny_recipe("digits"), 0).write(RunFolder(resumed).recipe)
    for out in (new, empty, resumed):
        with pytest.raises(type(error)):
            fit(tiny_recipe("digits"), out=out, resume=True, log=RunLog())
    assert new.exists() == kept
    assert empty.exists()
    assert RunFolder(empty).holds_run == kept
    assert RunFolder(resumed).holds_run


def test_the_tricks_stay_in_the_order_in_which_the_run_began(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, orders = tiny_recipe(pictures), []

    def keep(call: Any, *_: Any) -> None:
        orders.append(call.recipe.trick_names)

    monkeypatch.setattr(fit_module._Call, "fit", keep)
    for tricks in (recipe.tricks, recipe.tricks[::-1]):
        fit(recipe.replace(tricks=tricks), out=tmp_path / "run", resume=True, log=RunLog())
    assert orders == [recipe.trick_names] * 2
