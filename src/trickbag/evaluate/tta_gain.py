"""What a test-time augmentation gains and costs, as plain data and back."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from trickbag.errors import UserError, shown

__all__ = ["TtaGain"]


@dataclass(frozen=True, kw_only=True)
class TtaGain:
    """What a test-time augmentation gives, and what it costs.

    `views` is the number of views of an image, of all networks of an average together. `top1` is in
    percent; `gain` is that less the top-1 without augmentation, `low` and `high` its 95 % interval
    over the images. `speed` is the throughput of the network as a multiple of that without
    augmentation, the reading of images left out; None where it was not measured.
    """

    name: str
    views: int
    top1: float
    gain: float
    low: float
    high: float
    speed: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the gain as plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> TtaGain:
        """Read what `to_dict` returned; UserError for anything else."""
        values = data if isinstance(data, dict) else {}
        numbers = [values.get(name) for name in ("views", "top1", "gain", "low", "high")]
        speed = values.get("speed")
        is_valid = (
            set(values) == {field.name for field in dataclasses.fields(cls)}
            and isinstance(values["name"], str)
            and all(_is_number(value) for value in numbers)
            and (speed is None or _is_number(speed))
        )
        if not is_valid:
            raise UserError(f"{shown(data)} is no gain of test-time augmentation")
        return cls(**values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
