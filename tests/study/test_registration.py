"""A design that is registered before the first trial: its hash, and what changed afterwards."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest

from tests.builders.studies import study_record
from trickbag.data.config import DataConfig
from trickbag.errors import UserError
from trickbag.optim.config import TrainConfig
from trickbag.recipe import Recipe
from trickbag.study.designs.layout import Contrast
from trickbag.study.records.layout import LayoutRecord, VariantRecord
from trickbag.study.records.study import StudyRecord
from trickbag.study.registration import Registered, Registration
from trickbag.study.tuning.record import TuningRecord
from trickbag.study.tuning.tuning import Tuning

RECORD = study_record()
REGISTRATION = Registration.of(RECORD.registered)
TUNING = TuningRecord(tuning=Tuning(grid=("training.lr=1x,3x",)), metric="loss")


def with_arm(label: str) -> tuple[LayoutRecord, ...]:
    (layout,) = RECORD.layouts
    contrast = Contrast(label=label, trick=label, plus="full", minus=f"-{label}")
    variants = (*layout.variants, VariantRecord(label=f"-{label}", trials={0: "9f"}))
    return (
        dataclasses.replace(layout, variants=variants, contrasts=(*layout.contrasts, contrast)),
    )


CHANGES: dict[str, tuple[dict[str, Any], list[str] | None]] = {
    "outcome": ({"outcome": "top1"}, ['outcome ("top1", not "loss")']),
    "beside": ({"beside": ("ece",)}, ['beside (["ece"], not [])']),
    "seeds": ({"seeds": 5}, ["seeds (5, not 2)"]),
    "max_seeds": ({"max_seeds": 9}, ["max_seeds (9, not null)"]),
    "until_settled": ({"until_settled": True}, ["until_settled (true, not false)"]),
    "folds": ({"folds": 3}, ['folds (3, not "absent")', 'splits (1, not "absent")']),
    "splits": ({"folds": 3, "splits": 2}, ['folds (3, not "absent")', 'splits (2, not "absent")']),
    "margin": ({"margin": 0.5}, ["margin (0.5, not null)"]),
    "data": ({"data": "abcd"}, ['data ("abcd", not "0f1e")']),
    "version": ({"version": "0.2.0"}, ['version ("0.2.0", not "0.1.0")']),
    "tuning": ({"tuning": TUNING}, None),
    "recipe": ({"recipe": {"name": "small", "training": {"lr": 1}}}, None),
    "design": ({"design": {"kind": "factorial"}}, ['design ("factorial", not "leave-one-out")']),
    "layouts": ({"layouts": with_arm("cutmix")}, ["arms added on resnet18: -cutmix"]),
}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Registered)])
def test_every_part_of_a_design_is_hashed_and_its_change_is_said(field: str) -> None:
    changes, words = CHANGES[field]
    changed = dataclasses.replace(RECORD, **changes).registered
    assert Registration.of(changed).hash != REGISTRATION.hash
    differing = REGISTRATION.changes(changed)
    assert differing if words is None else differing == words


def test_a_setting_that_came_later_is_no_change_while_it_has_its_default() -> None:
    recipe = Recipe().to_dict()
    before = copy.deepcopy(recipe)
    for part, kind in (("data", DataConfig), ("training", TrainConfig)):
        for name in kind.introduced_later:
            del before[part][name]
    registered = Registration.of(dataclasses.replace(RECORD, recipe=before).registered)
    assert registered.changes(dataclasses.replace(RECORD, recipe=recipe).registered) == []
    recipe["training"]["small_maps"] = "convolutions"
    changes = registered.changes(dataclasses.replace(RECORD, recipe=recipe).registered)
    assert changes == ['recipe.training.small_maps ("convolutions", not "absent")']


def test_what_happens_in_a_study_is_no_change() -> None:
    (layout,) = RECORD.layouts
    learned = dataclasses.replace(
        layout.variants[1], status="does_not_apply", reason="found out", trials={}
    )
    layouts = (
        dataclasses.replace(layout, variants=(layout.variants[0], learned, *layout.variants[2:])),
    )
    later = dataclasses.replace(RECORD, layouts=layouts, command="again", notes=(), shard=None)
    assert Registration.of(later.registered) == REGISTRATION
    assert REGISTRATION.changes(later.registered) == []
    # Nor is another place of the same files, or another name.
    moved = {"name": "small", "data": {"source": "a", "image_root": None, "flip_prob": 0.5}}
    again = {"name": "other", "data": {"source": "b", "image_root": "c", "flip_prob": 0.5}}
    first, second = (
        Registration.of(dataclasses.replace(RECORD, recipe=recipe).registered)
        for recipe in (moved, again)
    )
    assert first == second


def test_seeds_up_to_a_number_that_was_registered_are_no_change() -> None:
    sequential = dataclasses.replace(RECORD, max_seeds=10)
    registered = Registration.of(sequential.registered)
    for seeds, changes in ((10, []), (11, ["seeds (11, not 2)"])):
        now = dataclasses.replace(sequential, seeds=seeds).registered
        assert registered.changes(now) == changes


def test_a_registration_is_read_as_it_was_written_and_knows_when_it_was_altered() -> None:
    record = dataclasses.replace(RECORD, registration=REGISTRATION, tuning=TUNING)
    data = record.to_dict()
    assert StudyRecord.from_dict(data, "here") == record
    assert REGISTRATION.holds
    altered = dict(data["registration"], design=dict(REGISTRATION.design, seeds=7))
    assert not Registration.from_dict(altered, "here").holds
    # A study of before has none.
    assert "registration" not in RECORD.to_dict()
    assert StudyRecord.from_dict(RECORD.to_dict(), "here").registration is None


@pytest.mark.parametrize(
    ("registration", "says"),
    [
        ("x", "here: registration = 'x': must be a JSON object"),
        ({}, "here: registration: hash = None: must be a text"),
        ({"hash": "a", "design": []}, r"here: registration.design = \[\]: must be a JSON object"),
    ],
)
def test_a_damaged_registration_is_named(registration: object, says: str) -> None:
    with pytest.raises(UserError, match=says):
        StudyRecord.from_dict(RECORD.to_dict() | {"registration": registration}, "here")
