"""Whether an evaluation can be compared with published ones: what mCE needs, and notes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trickbag.data.size import height_width
from trickbag.errors import Note
from trickbag.evaluate.robustness.corruptions.tables import IMAGENET_C
from trickbag.evaluate.robustness.folder import Cell, missing_cells
from trickbag.evaluate.robustness.intervals import corruption_intervals
from trickbag.metrics.corruption import (
    EXTRA_CORRUPTIONS,
    MAIN_CORRUPTIONS,
    SEVERITIES,
    mce,
    mean_corruption_error,
    normalised_error,
    relative_mce,
)
from trickbag.models.imagenet import (
    BACKGROUND,
    IMAGENET_CLASSES,
    imagenet_classes,
    names_wordnet_ids,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from trickbag.evaluate.robustness.counts import CorruptionCounts
    from trickbag.evaluate.trained import Trained
    from trickbag.metrics.bootstrap import Interval

__all__ = ["Comparison", "is_imagenet"]

_IMAGES, _SIZE = 50_000, (224, 224)
"""Of how many images, and of which height and width, AlexNet's errors are."""

_ALL = (*MAIN_CORRUPTIONS, *EXTRA_CORRUPTIONS)
_ALEXNET = "AlexNet's errors, by which mce divides, are of"


def is_imagenet(classes: Collection[str]) -> bool:
    """Tell whether classes are the 1,000 of ImageNet, by their WordNet ids, in any order.

    The class `background` may be there too, as in networks of TensorFlow.
    """
    names = {name for name in classes if name != BACKGROUND}
    # Looked at first, as the list of ImageNet takes seconds to import.
    if len(names) != IMAGENET_CLASSES or not names_wordnet_ids(classes):
        return False
    return names == set(imagenet_classes(IMAGENET_CLASSES) or ())


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What an evaluation has in common with those of the papers.

    `errors` are those of each corruption by severity, `settings` those of the record: `table` names
    the parameters of the corruptions, None for images from a folder, and `comparable` says whether
    the pictures of frost are the published ones.
    """

    trained: Trained
    counts: CorruptionCounts
    errors: Mapping[str, Sequence[float | None]]
    settings: Mapping[str, Any]

    @cached_property
    def obstacle(self) -> str | None:
        """Why AlexNet's errors do not apply; None if they do."""
        table = self.settings["table"]
        if not is_imagenet(self.trained.classes):
            return f"{_ALEXNET} ImageNet's 1,000 classes, which are not those of the network"
        if table not in (None, IMAGENET_C.name):
            return f"{_ALEXNET} the parameters imagenet_c, and these corruptions have {table}"
        return None

    def normalised(self) -> dict[str, float | None]:
        """Return the error of each corruption as a share of AlexNet's; None where undefined."""
        return {
            name: None if self.obstacle else normalised_error(name, row)
            for name, row in self.errors.items()
        }

    def metrics(self) -> dict[str, float | None]:
        """Return the means over the corruptions, those of all 19 where these were evaluated."""
        return self._metrics_of(self.errors, self.counts.clean.error)

    def intervals(self) -> dict[str, Interval]:
        """Return the 95 % intervals of the metrics over images."""
        return corruption_intervals(self.counts, self._metrics_of)

    def _metrics_of(
        self, errors: Mapping[str, Sequence[float | None]], clean: float | None
    ) -> dict[str, float | None]:
        applies = self.obstacle is None
        metrics = {
            "mce": mce(errors) if applies else None,
            "mean_corruption_error": mean_corruption_error(errors),
            "relative_mce": relative_mce(errors, clean) if applies else None,
            "clean_error": clean,
        }
        if self._has_extra:
            metrics["mce_19"] = mce(errors, _ALL) if applies else None
            metrics["mean_corruption_error_19"] = mean_corruption_error(errors, _ALL)
        return metrics

    @property
    def _has_extra(self) -> bool:
        return all(name in self.errors for name in _ALL)

    def notes(self) -> Iterator[Note]:
        """Yield what limits the comparison with published numbers."""
        if self.obstacle is not None:
            reason = f"{self.obstacle}: mce is undefined, mean_corruption_error needs none"
            yield Note("choice", None, reason)
        yield from self._missing()
        if self.obstacle is None and not self.settings["comparable"]:
            reason = "mce and relative_mce are not comparable with published ones: those have other"
            yield Note("choice", None, f"{reason} pictures of frost")
        if self.obstacle is None:
            yield from self._differences()
        not_finite = sum(tally.not_finite for tally in self.counts.cells.values())
        if not_finite:
            reason = f"logits are not finite for {not_finite:,} of the corrupted images: none is "
            yield Note("weights", None, f"{reason}right")

    def _missing(self) -> Iterator[Note]:
        present = {
            Cell(name, severity)
            for name, row in self.errors.items()
            for severity, error in zip(SEVERITIES, row, strict=True)
            if error is not None
        }
        names = _ALL if self._has_extra else MAIN_CORRUPTIONS
        if absent := missing_cells(present, names):
            yield Note(
                "data",
                None,
                f"not evaluated: {absent}; mce is undefined, and mean_corruption_error is of the "
                "others alone",
            )

    def _differences(self) -> Iterator[Note]:
        """Yield in what images differ from those of AlexNet's errors."""
        differences = []
        images = max((tally.images for tally in self.counts.cells.values()), default=0)
        if images != _IMAGES:
            differences.append(f"{_IMAGES:,} images, and these are of {images:,}")
        rows, columns = height_width(self.trained.preprocessing.image_size)
        if (rows, columns) != _SIZE:
            differences.append(f"images of 224x224 px, and these have {columns}x{rows} px")
        if differences:
            yield Note("choice", None, f"{_ALEXNET} {'; of '.join(differences)}")
