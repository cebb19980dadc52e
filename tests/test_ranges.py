"""Every number of the settings has a largest value, or is known to need none."""

from __future__ import annotations

import importlib
import pkgutil
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import pytest

import trickbag
from trickbag.errors import UserError
from trickbag.models.config import read_model
from trickbag.parsing import parse
from trickbag.ranges import Above, AtLeast, Between, Seed
from trickbag.settings import Settings, hints, read

if TYPE_CHECKING:
    from collections.abc import Iterator

COLOURS = "a colour's offset or scale: a factor of the pixels"
RATE = "a factor of gradients or weights: a loss that is not finite ends the run"
EPSILON = "added to a divisor"
WEIGHT = "a factor of the loss"
CHANCE = "a factor of a probability, which is cut at 1"

UNLIMITED = {
    "DataConfig.mean": COLOURS,
    "DataConfig.std": COLOURS,
    "PCANoise.std": COLOURS,
    "DataConfig.pixel_range": "stored values of any type",
    **{
        f"{cls}.{name}": reason
        for cls in ("Preprocessing", "PackedCrops", "SizedPreprocessing")
        for name, reason in (
            ("mean", COLOURS),
            ("std", COLOURS),
            ("pixel_range", "stored values of any type"),
        )
    },
    **{
        f"MeasuredResult.{name}": "a record of the package"
        for name in ("value", "low", "high", "values", "seconds")
    },
    "PublishedResult.value": "a record of the package",
    "TrialEvaluation.images": "a number that is shown",
    **{
        f"{cls}.{name}": "a number that is shown"
        for cls, names in (
            ("BlendFile", ("images", "folds", "loss", "mean_loss", "best_loss")),
            ("BlendMember", ("loss", "helps_on")),
        )
        for name in names
    },
    **{
        f"ProbeRecord.{name}": "a record of what was measured"
        for name in ("l2", "l2_candidates", "neighbour_candidates", "features_s", "fit_s")
    },
    "TrainConfig.lr": RATE,
    "TrainConfig.weight_decay": RATE,
    "TrainConfig.clip_norm": RATE,
    "TrainConfig.head_lr": RATE,
    "SharpnessAware.rho": RATE,
    "Sam.rho": RATE,
    "Stepwise.factor": RATE,
    "Exponential.factor": RATE,
    "BatchNorm.eps": EPSILON,
    "AdamW.eps": EPSILON,
    "RMSProp.eps": EPSILON,
    "AugMix.weight": WEIGHT,
    "ClassWeights.weights": WEIGHT,
    "Plan.class_weights": WEIGHT,
    "Distillation.temperature": "a divisor of logits",
    "DropBlock.scales": CHANCE,
    "DropBlockPart.scales": CHANCE,
}
"""The numbers that allocate and repeat nothing, with the reason."""


def numbers(hint: Any, marks: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the annotations of each number in a type."""
    if get_origin(hint) is Annotated:
        base, *more = get_args(hint)
        yield from numbers(base, (*marks, *more))
    elif hint in (int, float):
        yield marks
    elif get_origin(hint) is not Literal:
        for part in get_args(hint):
            yield from numbers(part, marks)


def settings_classes() -> list[type[Settings]]:
    for module in pkgutil.walk_packages(trickbag.__path__, "trickbag."):
        if not module.name.startswith(("trickbag.__main__", "trickbag.study.executors.ray")):
            importlib.import_module(module.name)
    waiting, classes = [Settings], set()
    while waiting:
        for cls in waiting.pop().__subclasses__():
            if cls.__module__.startswith("trickbag.") and cls not in classes:
                classes.add(cls)
                waiting.append(cls)
    return sorted(classes, key=lambda cls: cls.__name__)


def test_every_number_has_a_largest_value_or_needs_none() -> None:
    unlimited = {
        f"{cls.__name__}.{name}"
        for cls in settings_classes()
        for name, hint in hints(cls).items()
        for marks in numbers(hint)
        if not any(isinstance(mark, Between) and mark.high < float("inf") for mark in marks)
    }
    assert unlimited == set(UNLIMITED)


@pytest.mark.parametrize(
    ("range_", "text", "inside", "outside"),
    [
        (AtLeast(1, 16_384), "at least 1, at most 16,384", (1, 16_384), (0, 16_385)),
        (Above(0, 0.5), "above 0, at most 0.5", (0.1, 0.5), (0, 0.6)),
        (AtLeast(8), "at least 8", (8, 1e300), (7,)),
        (Between(0, 255), "from 0 to 255", (0, 255), (-1, 256)),
    ],
)
def test_a_range_says_its_ends(
    range_: Between, text: str, inside: tuple[float, ...], outside: tuple[float, ...]
) -> None:
    assert str(range_) == text
    assert all(value in range_ for value in inside)
    assert not any(value in range_ for value in outside)


@pytest.mark.parametrize(
    "data",
    [
        {"kind": "resnet", "depth_factor": 1e6},
        {"kind": "resnet", "width_factor": 1e300},
        {"kind": "resnet", "cardinality": 10**12},
        {"kind": "resnet", "base_width": 10**12},
        {"kind": "resnet", "num_classes": 10**12},
        {"kind": "resnet", "in_channels": 10**12},
        {"kind": "resnet", "attention": {"kind": "squeeze_excite", "divisor": 10**12}},
        {"kind": "big_little", "depth_factor": 1e6},
        {"kind": "mobilenet_v1", "width_factor": 1e6},
        {"kind": "timm", "name": "resnet18", "num_classes": 10**12},
    ],
)
def test_a_network_of_absurd_size_is_refused_at_once(data: dict[str, Any]) -> None:
    start = time.monotonic()
    with pytest.raises(UserError, match="at most"):
        read_model(data)
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("text", ["1e308", "9" * 30, "9" * 5000, "-1" + "0" * 30])
def test_a_seed_is_a_number_of_64_bits(text: str) -> None:
    with pytest.raises(UserError, match=r"--seed = .*at least -9,223,372,036,854,775,808"):
        parse(Annotated[int, Seed], text, "--seed")


def test_large_settings_of_training_are_refused() -> None:
    from trickbag.data.config import DataConfig
    from trickbag.optim.config import TrainConfig

    for cls, name in [
        *((TrainConfig, name) for name in ("epochs", "batch_size", "accumulate", "threads")),
        *((DataConfig, name) for name in ("image_size", "workers", "split_seed", "repeat_epochs")),
    ]:
        with pytest.raises(UserError, match=rf"{name} = 10{{20}}: must be .*at most"):
            read(cls, {name: 10**20})
