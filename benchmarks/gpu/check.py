"""What every part of the GPU check knows, and how it leaves what it has measured."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from trickbag import recipes
from trickbag.files import write_json
from trickbag.recipe import Recipe

__all__ = ["Check"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """A part of a check: on which device and data, in which folder, until when.

    - ends_s: the time of `time.time()` at which the part has to end.
    """

    part: str
    device: str
    source: str
    out: str
    tiny: bool
    ends_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain data."""
        return asdict(self)

    @property
    def folder(self) -> Path:
        """The folder of this part alone."""
        return Path(self.out) / self.part

    @property
    def left_s(self) -> float:
        """The seconds that are left."""
        return self.ends_s - time.time()

    @property
    def modes(self) -> tuple[str, ...]:
        """Whether steps are compiled, as `training.compile` says it."""
        # Compiling for a processor takes a minute.
        return ("off",) if self.tiny else ("off", "on")

    def leave(self, rows: list[dict[str, Any]]) -> None:
        """Write what is measured by now: it stays if the part is stopped."""
        write_json(Path(self.out) / f"{self.part}.json", {"rows": rows})

    def recipe(self, **settings: str) -> Recipe:
        """Return the recipe of small runs; in a name of a setting `__` stands for the dot."""
        fast = {
            "data.image_size": "16" if self.tiny else "64",
            "data.workers": "0" if self.tiny else "8",
            "training.device": self.device,
            "training.epochs": "2",
            "training.batch_size": "8" if self.tiny else "128",
        }
        given = {name.replace("__", "."): value for name, value in settings.items()}
        # A network of a few layers, which a processor compiles in seconds.
        network = "timm:test_resnet" if self.tiny else "resnet18_d"
        recipe = recipes.small(data=self.source, model=network)
        if self.tiny:  # what it does not take
            recipe = recipe.without(
                *(set(recipe.trick_names) - {"label_smoothing", "mixup", "ema"})
            )
        return recipe.set_all(fast | given)

    def reset_peak(self) -> None:
        """Count the peak of the GPU's memory anew."""
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def peak_bytes(self) -> int | None:
        """Return the peak of the GPU's memory in bytes; None on a CPU."""
        return torch.cuda.max_memory_allocated() if self.device == "cuda" else None

    def wait(self) -> None:
        """Wait until the device has done all that was asked of it."""
        if self.device == "cuda":
            torch.cuda.synchronize()
