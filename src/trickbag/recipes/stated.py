"""What the shipped recipes state: results that were measured, and those that papers published."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from trickbag.data.config import MAX_IMAGE_SIZE
from trickbag.files import read_json
from trickbag.ranges import MAX_EPOCHS, AtLeast
from trickbag.settings import Settings, plain, read

__all__ = ["PUBLISHED", "MeasuredResult", "PublishedResult", "StatedResult", "stated_results"]

_FILE = Path(__file__).with_name("stated.json")
"""The measured results; `benchmarks/stated.py` makes it of `benchmarks/results`."""

_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class MeasuredResult(Settings):
    """A result of a recipe that was measured, one value of the metric for each seed from 0 on.

    `metric` is that of the last epoch, in percent; `value` is the mean, `low` to `high` its 95 % t
    interval. `data` names the source, `fingerprint` its
    names, sizes and labels. `image_size` is None where it is the source's own. `benchmark` is the
    file of the results, `commit` that which was measured, and `seconds` the median of a run's
    training time on `hardware`. `model` names the network where it is not the recipe's own, and
    `weights` the file that the runs start from, with its `weights_digest`.
    """

    metric: str
    value: float
    low: float
    high: float
    values: tuple[float, ...]
    data: str
    fingerprint: str
    epochs: Annotated[int, AtLeast(1, MAX_EPOCHS)]
    image_size: Annotated[int, AtLeast(1, MAX_IMAGE_SIZE)] | None
    seconds: float
    benchmark: str
    commit: str
    hardware: str
    model: str | None = None
    weights: str | None = None
    weights_digest: str | None = None

    @property
    def seeds(self) -> int:
        """The number of seeds."""
        return len(self.values)

    def prediction_interval(self, seeds: int) -> tuple[float, float]:
        """Return the interval that holds the mean of new seeds with a probability of 95 %.

        That is the mean ± t s √(1/n + 1/m) of n stated and m new seeds, with the standard deviation
        s of the stated ones and the quantile t of n - 1 degrees of freedom: the t test of two
        samples with the spread of the first. It ends at 100 %.
        """
        from scipy import special

        quantile = float(special.stdtrit(self.seeds - 1, (1 + _CONFIDENCE) / 2))
        half = quantile * statistics.stdev(self.values) * math.sqrt(1 / self.seeds + 1 / seeds)
        return self.value - half, min(100.0, self.value + half)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, with the mean and its interval."""
        return {"measured": True, **plain(self), "seeds": self.seeds}

    @property
    def text(self) -> str:
        """The result as a line."""
        size = "" if self.image_size is None else f" at {self.image_size} px"
        network = "" if self.model is None else f" with {self.model}"
        started = "" if self.weights is None else f" from the weights {self.weights}"
        return (
            f"{self.value:.2f} % {self.metric} ({self.low:.2f} to {self.high:.2f}, {self.seeds} "
            f"seeds) on {self.data}{size} after {self.epochs} epochs{network}{started}, measured "
            f"on {self.hardware} ({self.benchmark}, commit {self.commit})"
        )


@dataclass(frozen=True, kw_only=True)
class PublishedResult(Settings):
    """A figure of a paper, in percent, that was not measured here for want of its data.

    `source` names the paper and its table; `teacher` the one that the figure needs.
    """

    metric: str
    value: float
    source: str
    epochs: Annotated[int, AtLeast(1, MAX_EPOCHS)]
    image_size: Annotated[int, AtLeast(1, MAX_IMAGE_SIZE)]
    hardware: str
    teacher: str | None = None
    data: str = "ImageNet"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"measured": False, **plain(self)}

    @property
    def text(self) -> str:
        """The result as a line."""
        taught = "" if self.teacher is None else f", with {self.teacher} as its teacher"
        return (
            f"{self.value:.2f} % {self.metric} on {self.data} after {self.epochs} epochs{taught}: "
            f"a figure of {self.source} ({self.hardware}), not measured here"
        )


StatedResult = MeasuredResult | PublishedResult


def _he(value: float, table: str, epochs: int, teacher: str | None = None) -> PublishedResult:
    return PublishedResult(
        metric="top1",
        value=value,
        source=f"He et al. 2018, {table}",
        epochs=epochs,
        image_size=224,
        hardware="8 V100",
        teacher=teacher,
    )


def _lee(
    value: float, row: str, epochs: int, *, image_size: int = 224, teacher: str | None = None
) -> PublishedResult:
    return PublishedResult(
        metric="top1",
        value=value,
        source=f"Lee et al. 2020, {row}",
        epochs=epochs,
        image_size=image_size,
        hardware="8 P40",
        teacher=teacher,
    )


_AMOEBA, _B7 = "an AmoebaNet-A", "an EfficientNet-B7"
_LATE: dict[str, Any] = {"image_size": 256, "teacher": _AMOEBA}


def _fine_grained(value: float, data: str) -> PublishedResult:
    return PublishedResult(
        metric="top1",
        value=value,
        source="Lee et al. 2020, version 1, table 9",
        epochs=100,
        image_size=224,
        hardware="4 GPUs",
        data=data,
    )


def _successor(
    value: float,
    source: str,
    epochs: int,
    image_size: int,
    hardware: str,
    teacher: str | None = None,
) -> PublishedResult:
    return PublishedResult(
        metric="top1",
        value=value,
        source=source,
        epochs=epochs,
        image_size=image_size,
        hardware=hardware,
        teacher=teacher,
    )


_STRIKES_BACK = "Wightman et al. 2021, table 2"

PUBLISHED: Mapping[str, tuple[PublishedResult, ...]] = MappingProxyType(
    {
        "baseline": (_he(75.87, "table 2", 120),),
        "efficient": (_he(76.21, "table 3", 120),),
        "bag_of_tricks": (
            _he(79.15, "table 6", 200),
            _he(79.29, "table 6", 200, "a ResNet-152-D"),
        ),
        "assemble_e0": (_lee(76.87, "table 7, E0", 120),),
        "assemble_e1": (_lee(77.37, "table 7, E1", 120),),
        "assemble_e2": (_lee(78.35, "table 7, E2", 120),),
        "assemble_e3": (_lee(79.10, "table 7, E3", 200),),
        "assemble_e4": (_lee(79.71, "table 7, E4", 200),),
        "assemble_e5": (_lee(80.40, "table 7, E5", 270),),
        "assemble_e6": (_lee(81.40, "table 7, E6", 270),),
        "assemble_e7": (_lee(81.69, "table 7, E7", 270, teacher=_AMOEBA),),
        "assemble_e8": (_lee(82.10, "table 7, E8", 600, teacher=_AMOEBA),),
        "assemble_e9": (_lee(82.44, "table 7, E9", 600, **_LATE),),
        "assemble_e10": (_lee(82.69, "table 7, E10", 600, **_LATE),),
        "assemble_e11": (_lee(82.78, "table 7, E11", 600, **_LATE),),
        "assemble_e12": (_lee(84.19, "table 7, E12", 600, image_size=256, teacher=_B7),),
        "assemble_resnet50": (_lee(82.78, "tables 1 and 7, E11", 600, **_LATE),),
        "assemble_resnet152": (
            _lee(84.19, "tables 1 and 7, E12", 600, image_size=256, teacher=_B7),
        ),
        "assemble_fgvc": (
            _fine_grained(92.5, "Food-101"),
            _fine_grained(94.4, "Stanford Cars"),
            _fine_grained(98.9, "Oxford Flowers"),
            _fine_grained(92.4, "FGVC Aircraft"),
            _fine_grained(94.3, "Oxford-IIIT Pets"),
        ),
        "rsb_a1": (_successor(80.4, _STRIKES_BACK, 600, 224, "GPUs"),),
        "rsb_a2": (_successor(79.8, _STRIKES_BACK, 300, 224, "GPUs"),),
        "rsb_a3": (_successor(78.1, _STRIKES_BACK, 100, 160, "GPUs"),),
        "torchvision_2021": (
            _successor(80.858, "pytorch/vision, pull request 5201", 600, 176, "8 GPUs"),
        ),
        "resnet_rs": (
            _successor(78.8, "Bello et al. 2021, ResNet-RS-50 at 160 px", 350, 160, "TPUs"),
        ),
        "patient_teacher": (
            _successor(
                82.31, "Beyer et al. 2021, table 1", 9600, 224, "TPUs", "a BiT-M-ResNet-152x2"
            ),
        ),
    }
)
"""The papers' figures of the recipes that rebuild theirs, on ImageNet's validation part or on the
data that they name."""


@functools.cache
def _measured() -> dict[str, tuple[MeasuredResult, ...]]:
    data = read_json(_FILE)
    return {
        name: tuple(read(MeasuredResult, each, f"{name}[{i}]") for i, each in enumerate(results))
        for name, results in data.items()
    }


def stated_results(name: str) -> tuple[StatedResult, ...]:
    """Return what the recipe of a name states, measured results first; none for other recipes."""
    return (*_measured().get(name, ()), *PUBLISHED.get(name, ()))
