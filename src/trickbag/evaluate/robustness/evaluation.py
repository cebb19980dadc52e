"""Error of a trained network on corrupted images, as mCE and by corruption and severity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.data.size import height_width
from trickbag.errors import Note, RunFailed, UserError, choices, shown
from trickbag.evaluate.record import EvaluationRecord
from trickbag.evaluate.robustness.comparable import Comparison
from trickbag.evaluate.robustness.corruptions.catalog import corrupt
from trickbag.evaluate.robustness.corruptions.frost import FrostPictures, frost_pictures
from trickbag.evaluate.robustness.corruptions.tables import table_for
from trickbag.evaluate.robustness.counts import (
    CorruptionCounts,
    PictureOf,
    Progress,
    count_generated,
)
from trickbag.evaluate.robustness.crops import CropBatch, Crops
from trickbag.evaluate.robustness.details import RobustnessDetails
from trickbag.evaluate.robustness.folder import Cell, CorruptedFolder, read_corrupted_folder
from trickbag.evaluate.robustness.stored import count_stored
from trickbag.evaluate.robustness.tally import predicted_classes
from trickbag.metrics.corruption import EXTRA_CORRUPTIONS, MAIN_CORRUPTIONS, SEVERITIES
from trickbag.paths import expanded

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from trickbag.evaluate.trained import Trained

__all__ = ["evaluate_robustness"]


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """The corruptions and severities to evaluate."""

    names: tuple[str, ...]
    severities: tuple[int, ...]

    @classmethod
    def of(cls, names: Sequence[str] | None, extra: bool, severities: Sequence[int]) -> _Wanted:
        """Check names and severities; by default the 15 of mCE, with `extra` all 19."""
        known = (*MAIN_CORRUPTIONS, *EXTRA_CORRUPTIONS)
        if names is None:
            names = known if extra else MAIN_CORRUPTIONS
        for name in names:
            if name not in known:
                raise UserError(f"no corruption {shown(name)}: must be one of {choices(known)}")
        for severity in severities:
            if severity not in SEVERITIES or isinstance(severity, bool):
                raise UserError(f"severity = {shown(severity)}: must be a whole number from 1 to 5")
        if not names or not severities:
            raise UserError("no corruption to evaluate", "name one, and a severity from 1 to 5")
        # In the order of the tables, each once.
        return cls(
            names=tuple(name for name in known if name in names),
            severities=tuple(sorted(set(severities))),
        )

    @property
    def cells(self) -> list[Cell]:
        return [Cell(name, severity) for name in self.names for severity in self.severities]


def evaluate_robustness(
    trained: Trained,
    *,
    data: str | None = None,
    image_root: str | tuple[str, ...] | None = None,
    part: str | None = None,
    limit: int | None = None,
    names: Sequence[str] | None = None,
    extra: bool = False,
    severities: Sequence[int] = SEVERITIES,
    source_dir: str | Path | None = None,
    frost: FrostPictures | Path | str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    workers: int | None = None,
    checking: Progress | None = None,
    progress: Progress | None = None,
    picture_of: PictureOf | None = None,
) -> EvaluationRecord:
    """Evaluate a trained network on corrupted images (Hendrycks & Dietterich 2019).

    The images are those of `evaluate`: with `limit` at most so many, spread over the part. Their
    crops are corrupted at the network's input size, each image read once; the draws of an image
    depend on `seed`, the corruption, the severity and the image's place in the part alone. `names`
    are by default the 15 corruptions of mCE, with `extra` also the 4 others. `frost` are pictures
    of frost or their folder, by default those of the package imagecorruptions, or generated ones.
    With `source_dir` corrupted images are read from CORRUPTION/SEVERITY/CLASS in it instead.

    `checking(done, total)` is called while files are checked, `progress` while images are
    evaluated, and `picture_of` takes the pictures of an image.

    Raises UserError for a network that cannot be evaluated so, for unknown names and for data that
    cannot be used; RunFailed if too many images cannot be read, or the network gives finite logits
    for none.
    """
    _require_suitable(trained, source_dir, frost)
    wanted = _Wanted.of(names, extra, severities)
    reading: dict[str, Any] = {"limit": limit, "batch_size": batch_size, "workers": workers}
    chosen = {"data": data, "image_root": image_root, "part": part}
    clean = {**chosen, **reading, "progress": checking}
    shown_by: dict[str, Any] = {"picture_of": picture_of, "progress": progress}
    if source_dir is None:
        drawn = _Drawn.of(trained, seed, wanted, frost)
        counts = count_generated(Crops(trained, **clean), wanted.cells, drawn, **shown_by)
        counts.notes += drawn.notes
        origin = drawn.to_dict()
    else:
        folder = read_corrupted_folder(source_dir)
        counts = _count_folder(trained, wanted, folder, clean, reading, shown_by)
        origin = {"source_dir": str(source_dir), "comparable": True}
        origin |= dict.fromkeys(("seed", "table", "frost"))
    return _record(trained, wanted, counts, {"limit": limit, **origin})


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """Corrupts crops with the draws of a seed and the parameters of a table.

    `frost` are the pictures of frost, None if none are needed.
    """

    seed: int
    table: str
    frost: FrostPictures | None

    @classmethod
    def of(
        cls, trained: Trained, seed: int, wanted: _Wanted, frost: FrostPictures | Path | str | None
    ) -> _Drawn:
        """Choose the table by the size of the network's input, and read pictures of frost."""
        pictures = None
        if isinstance(frost, FrostPictures):
            pictures = frost
        elif "frost" in wanted.names:
            pictures = frost_pictures(None if frost is None else expanded(frost))
        size = height_width(trained.preprocessing.image_size)
        return cls(seed=seed, table=table_for(*size).name, frost=pictures)

    @property
    def notes(self) -> tuple[Note, ...]:
        note = None if self.frost is None else self.frost.note
        return () if note is None else (note,)

    def __call__(self, batch: CropBatch, cell: Cell) -> Tensor:
        """Return the crops (N, C, H, W) of a batch, corrupted."""
        return corrupt(
            batch.images,
            cell.corruption,
            cell.severity,
            seed=self.seed,
            index_N=batch.index,
            table=self.table,
            frost=self.frost,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        frost = None if self.frost is None else self.frost.source
        comparable = self.frost is None or self.frost.comparable
        return {
            "source_dir": None,
            "seed": self.seed,
            "table": self.table,
            "frost": frost,
            "comparable": comparable,
        }


def _require_suitable(trained: Trained, source_dir: object, frost: object) -> None:
    if trained.thresholds is not None:
        raise UserError(
            f"{trained.path} gives several labels an image, and mCE is defined for one",
            "evaluate it without --robustness",
        )
    if trained.preprocessing.packed:
        raise UserError(
            f"{trained.weights_title} averages other crops of an image than one, and corruptions "
            "are of one",
            "evaluate each network by itself; of test-time augmentation only flip has one crop",
        )
    if trained.preprocessing.count != 3:
        raise UserError(
            f"{trained.path} takes images of {trained.preprocessing.count} channels, and the "
            "corruptions are of red, green and blue",
            "evaluate it without --robustness",
        )
    if source_dir is not None and frost is not None:
        raise UserError(
            "pictures of frost are for corruptions that are made, and those of a folder are there",
            "give one of the two",
        )


def _count_folder(
    trained: Trained,
    wanted: _Wanted,
    folder: CorruptedFolder,
    clean: dict[str, Any],
    reading: dict[str, Any],
    shown_by: dict[str, Any],
) -> CorruptionCounts:
    """Count what is wrong in a folder, and on images without corruption where they are known."""
    cells = [cell for cell in wanted.cells if cell in folder.cells]
    if not cells:
        raise UserError(
            f"{folder.root} has none of the corruptions {', '.join(wanted.names)} at severity "
            f"{', '.join(map(str, wanted.severities))}",
            f"it has {choices({cell.corruption for cell in folder.cells})}",
        )
    counts = count_stored(trained, folder, cells, reading, **shown_by)
    if folder.unknown:
        reason = f"{folder.root}: not taken, as no corruption has that name: "
        counts.notes += (Note("data", None, reason + choices(folder.unknown)),)
    if clean["data"] is None and trained.record is None:
        reason = "the images without corruption are not known (--data names them): clean_error "
        counts.notes += (Note("data", None, f"{reason}and relative_mce are undefined"),)
        return counts
    crops = Crops(trained, **clean)
    with crops:
        for batch in crops.batches():
            counts.clean.add(predicted_classes(trained, batch.images), batch.labels)
    place = f"{crops.selection.data.source}, {crops.selection.name}"
    reason = f"clean_error is of {counts.clean.images:,} images of {place}: relative_mce takes "
    same = Note("data", None, f"{reason}them for those that were corrupted")
    counts.notes += (same, *crops.notes)
    return counts


def _record(
    trained: Trained, wanted: _Wanted, counts: CorruptionCounts, settings: dict[str, Any]
) -> EvaluationRecord:
    if counts.clean.images and counts.clean.not_finite == counts.clean.images:
        raise RunFailed(
            f"{trained.weights_title} gives logits that are not finite for all "
            f"{counts.clean.images:,} images",
            "try --precision float32, or give the weights of another run",
        )
    settings = {
        "names": list(wanted.names),
        "severities": list(wanted.severities),
        "image_size": list(height_width(trained.preprocessing.image_size)),
        **settings,
    }
    errors = counts.errors(wanted.names, SEVERITIES)
    comparison = Comparison(trained=trained, counts=counts, errors=errors, settings=settings)
    images = max((tally.images for tally in counts.cells.values()), default=0)
    details = RobustnessDetails(
        corruptions=errors,
        images=counts.images(wanted.names, SEVERITIES),
        ce=comparison.normalised(),
        clean_error=counts.clean.error,
        clean_images=counts.clean.images,
        picture=counts.picture,
    )
    return EvaluationRecord(
        kind="robustness",
        data=counts.data,
        part=counts.part,
        images=images,
        weights=trained.weights_title,
        epoch=trained.epoch,
        precision=trained.precision,
        metrics=comparison.metrics(),
        settings=settings,
        details=details.to_dict(),
        notes=(*trained.notes, *counts.notes, *comparison.notes()),
        intervals=comparison.intervals(),
    )
