"""A small study, what two studies must have in common to be the same, and the record of a study."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.builders.recipes import study_recipe
from tests.builders.runs import without_times
from trickbag.errors import Note, Stopped
from trickbag.study.designs.layout import Contrast
from trickbag.study.designs.leave_one_out import LeaveOneOut
from trickbag.study.executors import Machine, Task
from trickbag.study.records.study import LayoutRecord, StudyRecord, VariantRecord
from trickbag.study.study import Study
from trickbag.study.trial import Trial
from trickbag.train.folder.result import Result


def two_trick_study(pictures: Path) -> Study:
    """Six trials: two tricks, one left out at a time, with two seeds."""
    return Study(
        recipe=study_recipe(pictures),
        design=LeaveOneOut(tricks=("mixup", "label_smoothing")),
        seeds=2,
        keep_weights="all",
    )


def effects(folder: Path) -> list[dict[str, Any]]:
    """The effects without what is measured: reproducible to the bit."""
    effects = json.loads((folder / "effects.json").read_text())
    return [{key: value for key, value in effect.items() if key != "cost"} for effect in effects]


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """The finished trials by id, without what is measured; fails where one is there twice."""
    finished: dict[str, dict[str, Any]] = {}
    for text in (folder / "results.jsonl").read_text().splitlines():
        line = json.loads(text)
        if line["error"] is None:
            assert line["trial"] not in finished, "counted twice"
            finished[line["trial"]] = line | {"metrics": without_times(line["metrics"])}
    return finished


def study_record(**changes: Any) -> StudyRecord:
    """What `study.json` may hold."""
    variants = (
        VariantRecord(label="full", trials={0: "0a", 1: "1b"}),
        VariantRecord(label="-mixup", trials={0: "2c"}),
        VariantRecord(label="-resnet_d", status="does_not_apply", reason="no slot"),
    )
    contrasts = (Contrast(label="mixup", trick="mixup", plus="full", minus="-mixup"),)
    layout = LayoutRecord(
        model="resnet18", variants=variants, contrasts=contrasts, aliases=(("a", "b*c"),)
    )
    record = StudyRecord(
        version="0.1.0",
        command="trickbag study",
        recipe={"name": "small"},
        design={"kind": "leave-one-out", "tricks": None},
        models=("resnet18",),
        seeds=2,
        outcome="loss",
        threads=1,
        device="cpu",
        processes=2,
        data="0f1e",
        shard="1/2",
        inapplicable={"resnet18": {"resnet_d": "no slot"}},
        notes=(Note("data", None, "a file is empty"), Note("no_effect", "mixup", "alpha = 0")),
        layouts=(layout,),
    )
    return dataclasses.replace(record, **changes)


@dataclasses.dataclass
class LimitedExecutor:
    """Runs trials in this process up to a number, and then is stopped as by a signal."""

    limit: int = 10**6
    ran: list[str] = dataclasses.field(default_factory=list)
    machine: Machine = Machine(workers=1, threads=1)

    def run(self, task: Task, trials: Sequence[Trial]) -> Iterator[Result]:
        for trial in trials:
            if len(self.ran) == self.limit:
                raise Stopped("stopped by SIGTERM", signal="SIGTERM")
            self.ran.append(f"{trial.label}/{trial.seed}")
            yield task(trial)
