"""Records of files that are read back: any value missing or of another type is one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.builders.plain_data import OTHER_VALUES, places, variations
from tests.builders.studies import study_record
from trickbag.data.policies.policy_file import PolicyFile
from trickbag.errors import Note, UserError
from trickbag.evaluate.localization.details import LocalizationDetails, LocatedPicture
from trickbag.evaluate.record import EvaluationRecord
from trickbag.metrics.calibration_scores import Calibration
from trickbag.recipes import small
from trickbag.study.records.result import StoredResult
from trickbag.study.records.study import StudyRecord
from trickbag.train.folder.result import KeptWeights, Result
from trickbag.train.folder.run_recipe import RunRecipe
from trickbag.train.probe.record import ProbeRecord

if TYPE_CHECKING:
    from collections.abc import Callable

NOTE = Note("data", None, "a file is empty")
RESULT = Result(
    trial="0a",
    label="small",
    seed=0,
    metrics={"top1": 50.0, "epoch": 1},
    environment={"python": "3.11"},
    data_errors=[{"file": "a.png", "reason": "empty file"}],
    notes=[NOTE.to_dict()],
    weights=KeptWeights(
        file="best.safetensors", keep="last", score="top1", epoch=1, epochs=1, precision="float32"
    ),
    intervals={"top1": (40.0, 60.0)},
    calibration=Calibration.of(np.eye(3)[[0, 1, 2, 0]], np.array([0, 1, 2, 1])),
)
RECIPE = RunRecipe(
    recipe=small().to_dict(),
    resolved={"seed": 0, "training": {"epochs": 1}},
    notes=(NOTE,),
    trial={"seed": 0, "data": "0f"},
)
EVALUATION = EvaluationRecord(
    kind="robustness",
    data="digits",
    part="val",
    images=9,
    weights="best.safetensors, epoch 1 of 1",
    epoch=1,
    precision="float32",
    metrics={"mce": None, "mean_corruption_error": 50.0},
    settings={"seed": 0},
    details={"fog": [1.0, 2.0]},
    notes=(NOTE,),
)
PROBE = ProbeRecord(
    l2=0.1,
    l2_by="validation",
    neighbours=20,
    neighbours_by="given",
    num_features=512,
    train_images=60,
    computed=0,
    features_s=0.1,
    fit_s=0.2,
    l2_candidates=((0.3, 1.2), (0.1, 1.1)),
    neighbour_candidates=((20.0, 50.0),),
)
LOCALIZATION = LocalizationDetails(
    maps=1,
    thresholds=[0.0, 0.5],
    box_accuracy={"0.5": [50.0, 0.0]},
    any_box_accuracy={"0.5": [50.0, 0.0]},
    top1_localization=[50.0, 0.0],
    top1=50.0,
    best_threshold=0.0,
    mean_iou=0.4,
    classes={"a": {"maps": 1, "gt_known_localization": 50.0}},
    left_out=[{"file": "a.xml", "reason": "damaged XML"}],
    pictures=[
        LocatedPicture(
            file="localization-best-1.png",
            group="best",
            image="a.png",
            label="a",
            predicted=None,
            iou=0.4,
        )
    ],
)
POLICY = PolicyFile(table=((("rotate", 0.7, 4), ("invert", 0.2, 0)),), found_by={"trials": 40})
RECORDS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "result.json": (RESULT.to_dict(), Result.from_dict),
    "results.jsonl": ({**RESULT.to_dict(), "model": "resnet18"}, StoredResult.from_dict),
    "recipe.json": (RECIPE.to_dict(), RunRecipe.from_dict),
    "robustness.json": (EVALUATION.to_dict(), EvaluationRecord.from_dict),
    "localization.json": (LOCALIZATION.to_dict(), LocalizationDetails.from_dict),
    "probe.json": (PROBE.to_dict(), ProbeRecord.from_dict),
    "policy.json": (POLICY.to_dict(), PolicyFile.from_dict),
    "study.json": (study_record().to_dict(), lambda data: StudyRecord.from_dict(data, "a")),
}


@pytest.mark.parametrize("name", RECORDS)
def test_any_value_of_a_record(name: str) -> None:
    data, read = RECORDS[name]
    assert read(data).to_dict()
    refused, tops = set(), {place[0] for place in places(data, depth=1)}
    for what, changed in variations(data, depth=5):
        try:
            # What is read can be written again.
            json.dumps(read(changed).to_dict())
        except UserError as error:
            if "\n" not in str(error) and len(str(error)) < 1000:
                refused.add(what)
    # Each part is checked: not every one of these values can be right for it.
    unchecked = {top for top in tops if not any(f"{top} {n}" in refused for n in OTHER_VALUES)}
    assert unchecked <= {"warnings", "name", "notes", "classes"}, unchecked


@pytest.mark.parametrize(
    "part", ["error", "notes", "status", "weights", "classes", "intervals", "calibration"]
)
def test_a_result_without_a_part_that_came_later(part: str) -> None:
    data = {key: value for key, value in RESULT.to_dict().items() if key != part}
    assert Result.from_dict(data).status == "finished"
