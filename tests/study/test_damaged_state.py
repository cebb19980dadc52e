"""A study whose own files were damaged between two calls: they are made again, and that is said."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import trickbag as tb
from tests.builders.recipes import study_recipe
from tests.builders.studies import effects, results
from trickbag.errors import Stopped
from trickbag.study.executors import Machine, Task
from trickbag.study.log import StudyLog
from trickbag.study.study import Study
from trickbag.study.trial import Trial
from trickbag.train.folder.result import Result


@dataclasses.dataclass
class KilledExecutor:
    """Runs trials in this process; `killed` in the second one, which then has a checkpoint."""

    killed: bool = False
    machine: Machine = Machine(workers=1, threads=1)

    def run(self, task: Task, trials: Sequence[Trial]) -> Iterator[Result]:
        for i, trial in enumerate(trials):
            result = task(trial)
            if self.killed and i == 1:
                Path(result.folder, "result.json").unlink()
                raise Stopped("stopped by SIGTERM", signal="SIGTERM")
            yield result


class Notes(StudyLog):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.slow
def test_what_was_damaged_is_made_again(pictures: Path, tmp_path: Path) -> None:
    study = Study(recipe=study_recipe(pictures), design=tb.LeaveOneOut(tricks=("mixup",)), seeds=2)
    reference, out = tmp_path / "reference", tmp_path / "study"
    study.run(KilledExecutor(), reference, log=StudyLog())
    with pytest.raises(Stopped):
        study.run(KilledExecutor(killed=True), out, log=StudyLog())
    (begun,) = out.glob("trials/*/last.ckpt")
    flip(begun)
    flip(out / "decoded" / "pixels.u8")
    log = Notes()
    study.run(KilledExecutor(), out, log=log)
    assert effects(out) == effects(reference)
    ((name, note),) = (
        (name, note)
        for name, result in results(out).items()
        for note in result["notes"]
        if note["kind"] == "damage"
    )
    assert name == begun.parent.name
    assert note["reason"].startswith("last.ckpt was damaged (its checksum does not match)")
    stored = json.loads((begun.parent / "result.json").read_text())
    assert note in stored["notes"]
    (line,) = [text for text in log.texts if "last.ckpt" in text]
    assert line.startswith("note: resnet")
    assert any("pixels" in text or "decoded images" in text for text in log.texts)
