"""A study's folder: one driver at a time, and results that survive a crash."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.studies import study_record
from trickbag.errors import UserError
from trickbag.study.folder import StudyFolder
from trickbag.study.records.result import StoredResult
from trickbag.train.folder.caller import PYTHON


def line(i: int, label: str = "full", top1: float | None = None) -> StoredResult:
    metrics = {"top1": 90.5 + i if top1 is None else top1}
    return StoredResult(trial=f"{i:016x}", label=label, model="resnet18", seed=i, metrics=metrics)


def append(folder: StudyFolder, *results: StoredResult) -> None:
    kept, torn = folder.read_results()
    with folder.appending(kept, torn is not None) as add:
        for result in results:
            add(result)


def test_results_come_back_in_order(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    assert folder.read_results() == ([], None)
    append(folder, line(0), line(1, "-mixup"))
    append(folder, line(2, "ünïcode\n"))
    assert folder.read_results() == ([line(0), line(1, "-mixup"), line(2, "ünïcode\n")], None)
    assert len(folder.results.read_bytes().split(b"\n")) == 4


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 10_000))
def test_cut_anywhere_loses_at_most_the_last_line(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = StudyFolder(tmp_path_factory.mktemp("study"))
    append(folder, *(line(i) for i in range(3)))
    data = folder.results.read_bytes()
    cut %= len(data) + 1
    folder.results.write_bytes(data[:cut])
    # A line is whole as soon as its last brace is there.
    complete = data[:cut].count(b"\n") + (
        cut > 0 and data[cut - 1 : cut] == b"}" and data[cut : cut + 1] == b"\n"
    )
    kept, torn = folder.read_results()
    assert kept == [line(i) for i in range(complete)]
    assert (torn is None) == (
        cut in (0, len(data)) or data[cut - 1 : cut] == b"\n" or data[cut : cut + 1] == b"\n"
    )
    if torn is not None:
        assert f"line {complete + 1} of" in torn
        assert "dropped" in torn
    append(folder, line(7))
    assert folder.read_results() == ([*(line(i) for i in range(complete)), line(7)], None)


@pytest.mark.parametrize(
    "damage", [b"\0" * 40, b"{}", b"[1]", b'{"trial": "a"}', b"\xff\xfe", b"[" * 100_000]
)
def test_damage(tmp_path: Path, damage: bytes) -> None:
    folder = StudyFolder(tmp_path)
    append(folder, line(0), line(1))
    first, second, _ = folder.results.read_bytes().split(b"\n")
    folder.results.write_bytes(first + b"\n" + damage + b"\n")
    assert folder.read_results()[0] == [line(0)]
    folder.results.write_bytes(first + b"\n" + damage + b"\n" + second + b"\n")
    with pytest.raises(UserError, match=r"line 2 of .*results.jsonl is damaged.*take the line out"):
        folder.read_results()


def test_nan_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        append(StudyFolder(tmp_path), line(0, top1=float("nan")))


def test_two_drivers(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "study")
    program = (
        "import sys; from pathlib import Path; from trickbag.study.folder import StudyFolder\n"
        "from trickbag.train.folder.caller import PYTHON\n"
        "with StudyFolder(Path(sys.argv[1])).locked(PYTHON):\n"
        "    print('in', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"in\n"
        with (
            pytest.raises(UserError, match=rf"^process {other.pid} on .* works in .*study; wait"),
            folder.locked(PYTHON),
        ):
            pass
        other.kill()
        other.wait()
        with folder.locked(PYTHON):  # a lock ends with its process
            folder.write_study(study_record())
    assert folder.read_study() == study_record()


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with (
        pytest.raises(UserError, match="not empty and holds no study"),
        StudyFolder(tmp_path).locked(PYTHON),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
    with (
        pytest.raises(UserError, match="cannot make the folder"),
        StudyFolder(tmp_path / "holiday.jpg" / "a").locked(PYTHON),
    ):
        pass


def test_nothing_is_left_of_a_study_that_never_began(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "study")
    with pytest.raises(UserError, match="no such trick"), folder.locked(PYTHON):
        raise UserError("no such trick")
    assert not folder.path.exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": 1}', "\0"])
def test_a_damaged_study(tmp_path: Path, text: str) -> None:
    folder = StudyFolder(tmp_path)
    folder.study.write_text(text)
    with pytest.raises(UserError, match=r"cannot read .*study\.json"):
        folder.read_study()


def test_a_line_without_an_end_is_completed(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.results.write_text(json.dumps(line(0).to_dict()))
    append(folder, line(1))
    assert folder.read_results() == ([line(0), line(1)], None)
