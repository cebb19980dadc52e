"""The file of a blend: trained networks with the weights of their probabilities."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from trickbag.errors import UserError, shown
from trickbag.files import read_json_object, write_json
from trickbag.paths import exists, is_file
from trickbag.ranges import AtLeast, Between
from trickbag.settings import Settings, plain, read

__all__ = ["BlendFile", "BlendMember", "is_blend", "read_blend", "run_beside"]

KIND: Literal["blend"] = "blend"


@dataclass(frozen=True, kw_only=True)
class BlendMember(Settings):
    """A member of a blend.

    run: its folder, relative to that of the blend's file where it lies beside or below it. weight:
    that of its probabilities; the weights sum to 1, and that of a rejected member is 0. rejected:
    why it is, else None. loss: its own, in nats, on the images that the weights were fitted on.
    helps_on: on how many of the folds the blend's loss is lower with it than without it.
    """

    run: str
    weight: Annotated[float, Between(0, 1)]
    loss: Annotated[float, AtLeast(0)]
    rejected: str | None = None
    helps_on: Annotated[int, AtLeast(0)] | None = None


@dataclass(frozen=True, kw_only=True)
class BlendFile(Settings):
    """What `trickbag blend` writes.

    images, folds: on how many out-of-fold predictions, of how many folds, the weights were fitted.
    data: the fingerprint of the data. The losses, in nats, are cross-fitted: on each fold those of
    weights that were fitted on the others. loss: of the blend. mean_loss: of the mean of all
    members. best_loss: of the member that is best on the other folds. notes: what a person should
    know, as text.
    """

    kind_of_file: Literal["blend"] = KIND
    schema: Literal[1] = 1
    version: str
    members: tuple[BlendMember, ...]
    data: str
    images: Annotated[int, AtLeast(1)]
    folds: Annotated[int, AtLeast(2)]
    loss: Annotated[float, AtLeast(0)]
    mean_loss: Annotated[float, AtLeast(0)]
    best_loss: Annotated[float, AtLeast(0)]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        total = sum(member.weight for member in self.members)
        if abs(total - 1) > 1e-6:
            raise UserError(f"the weights sum to {total:g}, not to 1")

    @property
    def used(self) -> tuple[BlendMember, ...]:
        """The members that are not rejected."""
        return tuple(member for member in self.members if member.weight > 0)

    def write(self, file: Path) -> None:
        """Write the file, as a whole or not at all."""
        write_json(file, plain(self))


def is_blend(path: Path) -> bool:
    """Tell whether a path is that of a blend: a JSON file that says so."""
    if path.suffix != ".json" or not is_file(path):
        return False
    try:
        data = read_json_object(path)
    except UserError:
        return False
    return data is not None and data.get("kind_of_file") == KIND


def read_blend(path: Path) -> list[tuple[Path, float]]:
    """Return the folder and the weight of each member that is not rejected.

    Raises UserError for a damaged file, and where a member is not there any more.
    """
    data = read_json_object(path)
    if data is None:
        raise UserError(f"cannot read {path}: there is no such file")
    try:
        rows = data.get("members")
        if not isinstance(rows, list):
            raise UserError(f"members = {shown(rows)}: must be a list")
        members = tuple(read(BlendMember, row, f"members[{i}]") for i, row in enumerate(rows))
        blend = read(BlendFile, {**data, "members": members}, "blend")
    except UserError as error:
        raise UserError(f"cannot read {path}: {error.reason}") from error
    runs = [(path.parent / member.run, member.weight) for member in blend.used]
    for folder, _ in runs:
        if not exists(folder):
            raise UserError(
                f"{folder}, a member of the blend {path}, is not there",
                "bring it back, or blend the runs that are",
            )
    return runs


def run_beside(run: Path, file: Path) -> str:
    """Return how a blend's file names a run: relative, where that leads there."""
    # Resolved: the file may be read from another folder.
    folder, run = file.parent.resolve(), run.resolve()
    return Path(os.path.relpath(run, folder)).as_posix() if _near(run, folder) else str(run)


def _near(run: Path, folder: Path) -> bool:
    """Whether both lie in one folder that may be moved as a whole."""
    return run.is_relative_to(folder) or run.is_relative_to(folder.parent)
