"""A run's folder from its first moment on: what it holds, and when it is given back."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.builders.recipes import tiny_recipe
from trickbag import locks
from trickbag.cli import _parser
from trickbag.cli.train import trial_from
from trickbag.errors import RunFailed, Stopped, UserError
from trickbag.locks import locked_folder
from trickbag.train import fit as fit_module
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog
from trickbag.train.folder.run_folder import RunFolder, fresh_folder
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


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_a_folder_in_use_is_refused_by_the_name_of_its_process(
    tmp_path: Path, resume: bool, begun: bool
) -> None:
    out = tmp_path / "run"
    with locked_folder(out, lambda _: None):
        if begun:
            RunRecipe.without_plan(tiny_recipe("digits"), 0).write(RunFolder(out).recipe)
        before = sorted(out.iterdir())
        with pytest.raises(UserError, match=rf"^process {os.getpid()} on .* works in {out}; wait"):
            fit(tiny_recipe("digits"), out=out, resume=resume, log=RunLog())
        assert sorted(out.iterdir()) == before
    assert out.exists() == begun


def test_a_trial_waits_for_the_worker_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = contextlib.ExitStack()
    held.enter_context(locked_folder(tmp_path / "run", lambda _: None))
    monkeypatch.setattr(locks.time, "sleep", lambda _: held.close())
    monkeypatch.setattr(fit_module._Call, "fit", lambda *_: "trained")
    result: Any = fit(
        tiny_recipe("digits"), out=tmp_path / "run", log=RunLog(), lock_timeout_s=60.0
    )
    assert result == "trained"


def test_a_wait_for_the_lock_ends_with_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks.time, "sleep", lambda _: signal.raise_signal(signal.SIGTERM))
    with (
        locked_folder(tmp_path / "run", lambda _: None),
        pytest.raises(Stopped, match="stopped by SIGTERM before the first step"),
    ):
        fit(tiny_recipe("digits"), out=tmp_path / "run", log=RunLog(), lock_timeout_s=60.0)


@pytest.mark.slow
def test_the_lock_lasts_from_the_first_moment_to_the_last(pictures: Path, tmp_path: Path) -> None:
    holders: list[str] = []

    class Looking(RunLog):
        def checking(self, done: int, total: int) -> None:
            self.stop()

        def epoch(self, row: dict[str, Any]) -> None:
            self.stop()

        def stop(self) -> None:  # the last call of all
            with pytest.raises(UserError, match="works in"):
                fit(recipe, out=tmp_path / "run", resume=True, log=RunLog())
            holders.append("the run")

    recipe = tiny_recipe(pictures, epochs=1)
    fit(recipe, out=tmp_path / "run", log=Looking())
    assert len(holders) > 2
    assert not list((tmp_path / "run").glob(".*"))


def test_a_run_on_a_disk_without_locks_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    opened: list[Any] = []
    monkeypatch.setattr(locks.fcntl, "flock", flock)
    monkeypatch.setattr(fit_module._Call, "fit", lambda call, *_: opened.append(call.opened))
    log = StoppedEarly()
    fit(tiny_recipe("digits"), out=tmp_path / "run", log=log)
    text = f"the disk of {tmp_path / 'run'} has no locks (No locks available)"
    assert [note.startswith(f"note: {text}") for note in log.notes] == [True]
    assert opened[0].note.kind == "folder"


def test_two_runs_without_a_folder_get_different_ones(tmp_path: Path) -> None:
    names = [fresh_folder("small-digits", tmp_path / "runs").name for _ in range(3)]
    assert names == ["small-digits-1", "small-digits-2", "small-digits-3"]
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot make the folder .*file/x-1: Not a directory"):
        fresh_folder("x", tmp_path / "file")
