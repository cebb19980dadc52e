"""Plans: what they refuse, and how those that runs wrote before are read."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from trickbag.data.config import MEAN, STD, DataConfig
from trickbag.errors import UserError
from trickbag.models.config import ResNetConfig
from trickbag.optim.config import TrainConfig
from trickbag.optim.schedule import Schedule
from trickbag.train.plan.plan import Plan

PLAN = Plan(
    seed=3,
    data=DataConfig(
        image_size=32,
        workers=2,
        flip_prob=0.0,
        mean=MEAN,
        std=STD,
        interpolation="bilinear",
        resize="crop",
    ),
    model=ResNetConfig(num_classes=4),
    training=TrainConfig(
        device="cpu",
        precision="bf16",
        layout="contiguous",
        small_maps="convolutions",
        compile="off",
        threads=2,
        batch_size=16,
        epochs=5,
    ),
    schedule=Schedule(),
    steps_per_epoch=7,
    repeats=2,
    processes=1,
    class_weights=None,
)


def stored_before() -> dict[str, Any]:
    """The plan as a run of before wrote it: the settings of the parts are open."""
    stored = PLAN.to_stored()
    stored["data"] |= {"image_size": None, "workers": None, "flip_prob": 0.5}
    del stored["data"]["interpolation"], stored["data"]["resize"]
    stored["training"] |= {"device": "auto", "precision": "auto", "compile": "auto"}
    stored["training"] |= {"threads": None, "batch_size": 256}
    del stored["training"]["layout"]
    stored["reads"] = stored.pop("repeats")
    return stored | {"compile": False, "mirror": False}


def test_what_is_stored_is_read() -> None:
    assert Plan.from_stored(PLAN.to_stored()) == PLAN


def test_facts_stand_at_the_top_of_the_file() -> None:
    stored = PLAN.to_stored()
    assert (stored["image_size"], stored["batch_size"], stored["workers"]) == (32, 16, 2)
    assert (stored["device"], stored["precision"], stored["threads"]) == ("cpu", "bf16", 2)
    assert stored["compile"] is False


def test_a_plan_of_before_is_read() -> None:
    assert Plan.from_stored(stored_before()) == PLAN


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("compile", {"x": 1}, r"resolved\.training\.compile = .*: must be one of"),
        ("threads", "two", r"resolved\.training\.threads = 'two'"),
        ("data", 3, r"resolved\.data = 3"),
        ("training", None, r"resolved\.training = None"),
        ("wrong", 3, "resolved has no setting 'wrong'"),
    ],
)
def test_a_damaged_plan_is_refused(key: str, value: object, says: str) -> None:
    for stored in (PLAN.to_stored(), stored_before()):
        with pytest.raises(UserError, match=says):
            Plan.from_stored(stored | {key: value})


def test_no_plan_is_refused() -> None:
    with pytest.raises(UserError, match="resolved = None: must be a mapping"):
        Plan.from_stored(None)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("data", "image_size", None),
        ("data", "workers", None),
        ("data", "mean", None),
        ("data", "std", None),
        ("data", "interpolation", None),
        ("training", "threads", None),
        ("training", "device", "auto"),
        ("training", "precision", "auto"),
        ("training", "layout", "auto"),
        ("training", "small_maps", "auto"),
        ("training", "compile", "auto"),
    ],
)
def test_a_plan_leaves_nothing_open(part: str, name: str, value: object) -> None:
    changed = dataclasses.replace(getattr(PLAN, part), **{name: value})
    with pytest.raises(UserError, match=rf"lacks a value for {part}\.{name}"):
        dataclasses.replace(PLAN, **{part: changed})


def test_the_loader_mirrors_crops_that_repeat() -> None:
    mirrored = dataclasses.replace(PLAN.data, flip_prob=0.25)
    assert dataclasses.replace(PLAN, data=mirrored).batch_flip_prob == 0.25
    repeating = dataclasses.replace(mirrored, repeat_epochs=3)
    assert dataclasses.replace(PLAN, data=repeating).batch_flip_prob == 0.0
