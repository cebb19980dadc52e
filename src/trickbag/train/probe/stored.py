"""Features of images in the user's cache folder: files of some thousand images each.

A file is a line of JSON, an array in numpy's format and a seal. It is written whole or not at all,
so that work that was stopped goes on where it was.

Shapes: N images of a file, D features.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.checksums import DamagedFile, has_seal, sealed
from trickbag.errors import RunFailed, UserError
from trickbag.files import replacing
from trickbag.paths import MAPPED, exists, open_regular
from trickbag.recipe import digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["FeatureRows", "FeatureStore"]

SCHEMA = 1
"""Version of the files: a part of what they are named after."""


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Features (N, D) float32 of images; `errors` are those that could not be read.

    `errors` has the reason by row; the features of such a row are 0.
    """

    features: NDArray[np.float32]
    errors: Mapping[int, str]


class FeatureStore:
    """The files of the features of one part, by one network.

    `metadata` is what determines them: plain data without paths. A file that is damaged is as if it
    were not there; `damage` then says which.
    """

    def __init__(self, cache_dir: Path, metadata: Mapping[str, Any]) -> None:
        self.folder = cache_dir / "features" / digest({"schema": SCHEMA, **metadata})
        self.damage: str | None = None
        self.problem: str | None = None
        self._text = json.dumps({"schema": SCHEMA, **metadata}, sort_keys=True, allow_nan=False)

    def _file(self, place: int) -> Path:
        return self.folder / f"{place:05d}.features"

    def read(self, place: int, images: int, num_features: int) -> FeatureRows | None:
        """Read a file by its number, from 0, if it is there and intact; it has so many rows."""
        file = self._file(place)
        try:
            if not exists(file):
                return None
            if not has_seal(file):
                raise DamagedFile("it has no checksum")
            with open_regular(file, MAPPED) as opened:
                metadata = json.loads(opened.readline())
                features = np.load(opened, allow_pickle=False)
            if json.dumps(metadata["of"], sort_keys=True) != self._text:
                return None
            errors = {int(row): str(reason) for row, reason in metadata["errors"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError) as error:
            # All that a damaged archive, or one of another content, can lead to.
            self.damage = f"{file} is damaged ({error})"
            return None
        if features.dtype != np.float32 or features.shape != (images, num_features):
            self.damage = f"{file} is damaged (its features are of another shape)"
            return None
        return FeatureRows(features, errors)

    def write(self, place: int, rows: FeatureRows) -> None:
        """Write a file; where that fails, which is no error, `problem` says why."""
        text = json.dumps({"of": json.loads(self._text), "errors": dict(rows.errors)})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._file(place)) as file, sealed(file) as summed:
                summed.write(f"{text}\n".encode("ascii"))
                np.save(summed, rows.features, allow_pickle=False)
        except OSError as error:
            self.problem = f"cannot write {self.folder}: {error.strerror or error}"
        except RunFailed as error:
            self.problem = str(error)
