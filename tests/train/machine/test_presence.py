"""Runs of one machine see each other, and take their shares of its cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from tests.builders.recipes import tiny_recipe
from trickbag.data.decoding.cache import cache_folder
from trickbag.errors import Note
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog
from trickbag.train.machine import presence
from trickbag.train.machine.presence import CoreShare, Presence, all_cores, present
from trickbag.train.plan.resolve import resolve

RUN = (
    "import sys; from pathlib import Path\n"
    "from trickbag.train.machine.presence import Presence\n"
    "with Presence(folder=Path(sys.argv[1]), load=lambda: 0.0) as run:\n"
    "    if len(sys.argv) > 2: run.settle(int(sys.argv[2]))\n"
    "    print('in', flush=True); sys.stdin.read()"
)


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores, as PyTorch has them, and an environment that names no number of threads."""
    monkeypatch.setattr(presence, "usable_cores", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def another_run(folder: Path, *threads: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder), *threads],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"in\n"
    return process


def run_in(folder: Path, load: float = 0.0) -> Presence:
    return Presence(folder=folder, load=lambda: load)


@pytest.mark.usefixtures("eight_cores")
def test_a_run_alone_has_all_cores(tmp_path: Path) -> None:
    with run_in(tmp_path / "runs") as run:
        assert run.others() == []
        assert run.share() == CoreShare(threads=8)
        run.settle(8)
        assert run.others() == []
    assert not list((tmp_path / "runs").iterdir())


@pytest.mark.usefixtures("eight_cores")
def test_runs_divide_the_cores_until_they_end(tmp_path: Path) -> None:
    with run_in(tmp_path) as first, run_in(tmp_path) as second:
        assert first.others() == second.others() == [None]
        share = first.share()
        assert share.threads == 4
        assert share.note == Note(
            "choice",
            None,
            "the run computes with 4 threads, not 8, to its end: as it begins, other processes "
            "use 0.0 of 8 cores, and 1 other run of trickbag goes on or begins "
            "(--set training.threads=8 takes all)",
        )
        first.settle(share.threads)
        assert second.others() == [4]
        assert second.share().threads == 4
        with run_in(tmp_path) as third:
            second.settle(4)
            assert sorted(third.others(), key=str) == [4, 4]
            assert third.share().threads == 1
        first.__exit__()
        assert second.others() == []


@pytest.mark.usefixtures("eight_cores")
def test_other_work_keeps_its_cores(tmp_path: Path) -> None:
    with run_in(tmp_path, load=5.8) as run:
        share = run.share()
    assert share.threads == 2
    assert share.note is not None
    assert "other processes use 5.8 of 8 cores (" in share.note.text


def test_threads_in_the_environment_are_taken_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> NoReturn:
        raise AssertionError("nothing is to be measured")

    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    with Presence(folder=tmp_path, load=load) as run:
        assert run.share() == CoreShare(threads=6)


@pytest.mark.usefixtures("eight_cores")
def test_a_limit_of_processor_time_bounds_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all_cores().threads == 8
    monkeypatch.setattr(presence, "usable_cores", lambda: 3)
    assert all_cores().threads == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert all_cores().threads == 8


@pytest.mark.usefixtures("eight_cores")
def test_a_run_that_is_killed_gives_its_cores_back(tmp_path: Path) -> None:
    with another_run(tmp_path, "6") as other, run_in(tmp_path) as run:
        assert run.others() == [6]
        assert run.share().threads == 2
        other.kill()
        other.wait()
        assert len(list(tmp_path.iterdir())) == 3
        assert run.share() == CoreShare(threads=8)
        assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no such system")
def test_a_run_on_other_cores_takes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with another_run(tmp_path) as other, run_in(tmp_path) as run:
        assert run.others() == [None]
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1} if pid == other.pid else {0})
        assert run.others() == []
        other.communicate()


@pytest.mark.usefixtures("eight_cores")
def test_places_where_no_run_can_be_seen(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with run_in(tmp_path / "file", load=4.0) as run:  # no folder
        assert run.others() == []
        run.settle(4)
        assert run.share().threads == 4
    (tmp_path / "1-0123abcd").write_text("no lock file")
    (tmp_path / "1-0123abcd.x").mkdir()
    with run_in(tmp_path) as run:
        assert run.others() == []
    assert (tmp_path / "1-0123abcd").read_text() == "no lock file"


@pytest.mark.usefixtures("eight_cores")
def test_a_plan_takes_the_share_unless_the_recipe_names_threads(pictures: Path) -> None:
    from trickbag.data.dataset import prepare

    note = Note("choice", None, "a share")
    recipe = tiny_recipe(pictures, training__threads="none")
    dataset = prepare(recipe.data)
    plan, notes = resolve(recipe, dataset, 0, share=lambda: CoreShare(threads=3, note=note))
    assert plan.threads == 3
    assert note in notes
    assert resolve(recipe, dataset, 0)[0].threads == 8
    plan, notes = resolve(
        recipe.set("training.threads", "5"), dataset, 0, share=lambda: CoreShare(threads=3)
    )
    assert plan.threads == 5
    assert note not in notes


def test_fit_is_seen_while_it_trains_and_not_afterwards(pictures: Path, tmp_path: Path) -> None:
    seen: list[list[int | None]] = []

    class Watching(RunLog):
        def epoch(self, row: object) -> None:
            with present() as other:
                seen.append(other.others())

    fit(tiny_recipe(pictures, epochs=1), out=tmp_path / "run", log=Watching())
    assert seen == [[1]]
    (folder,) = (cache_folder() / "runs").iterdir()
    assert not list(folder.iterdir())


def test_fit_records_its_share_and_keeps_it_on_resume(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, load = tmp_path / "run", 7.2
    monkeypatch.setattr(presence, "usable_cores", lambda: 8)
    monkeypatch.setattr(presence, "all_cores", lambda: CoreShare(threads=8))
    monkeypatch.setattr(presence, "threads_set", lambda: None)
    monkeypatch.setattr(presence, "load_since", lambda before: load)
    recipe = tiny_recipe(pictures, epochs=1, training__threads="none")
    result = fit(recipe, out=out, log=RunLog())
    assert any("computes with 1 thread, not 8" in note for note in result.warnings)
    load = 0.0
    (out / "result.json").unlink()
    fit(recipe, out=out, log=RunLog(), resume=True)
    stored = json.loads((out / "recipe.json").read_text())
    assert stored["resolved"]["threads"] == 1
    assert any("computes with 1 thread, not 8" in note for note in stored["notes"])
