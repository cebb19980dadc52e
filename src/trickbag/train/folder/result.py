"""What a trial leaves: metrics, warnings, environment, or an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Result"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of one trial, as in `result.json`.

    `metrics` are the last epoch's: `top1`, `top5` and `ece` in percent, `loss` in nats,
    `train_throughput` and `infer_throughput` in images/s, `params` and `macs` (multiply-adds of one
    image) as counts, `peak_memory` in bytes, `train_time_s` the seconds of training steps,
    `run_time_s` those of the last call of `fit` with its validation and files; None where
    undefined. `data_errors` names the files that were left out. `folder` is where the run lies.
    """

    trial: str
    label: str
    seed: int
    metrics: dict[str, float | int | None]
    warnings: list[str] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    data_errors: list[dict[str, str]] = field(default_factory=list)
    error: str | None = None
    folder: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the plain data of `result.json`, which holds no path."""
        return {key: value for key, value in vars(self).items() if key != "folder"}
