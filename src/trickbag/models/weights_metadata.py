"""What a weights file says about its network: one record, and the only code that reads it.

A safetensors file keeps texts by key in its header. The record is JSON under the key `trickbag`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast, get_args

from safetensors import SafetensorError, safe_open

from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.size import Size, as_size
from trickbag.errors import UserError, first_line
from trickbag.files import parse_json, utf8_path
from trickbag.models.config import ModelConfig, Precision, read_model
from trickbag.models.deleted_weights import DeletedWeights
from trickbag.models.task_config import ClassificationConfig, TaskConfig, read_task
from trickbag.models.weights_names import (
    BEST_WEIGHTS,
    LAST_WEIGHTS,
    folder_of_run,
    names_last_weights,
)
from trickbag.paths import WEIGHTS, exists, is_folder, require_regular
from trickbag.settings import plain, read
from trickbag.text import composed

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "METADATA_KEY",
    "SCHEMA",
    "TEMPERATURE_KEY",
    "WeightsMetadata",
    "header_texts",
    "read_classes",
    "read_image_size",
    "read_preprocessing",
    "read_record",
    "require_weights",
    "unreadable",
    "weights_file",
]

METADATA_KEY = "trickbag"
"""The key of the record in a file's header."""

TEMPERATURE_KEY = "temperature"
"""The key of the temperature in the record: the only part that changes after training."""

SCHEMA = 1
"""The version of the record. A file without one has version 1."""


@dataclass(frozen=True, kw_only=True)
class WeightsMetadata:
    """What is needed to use a network's weights; no times and no paths.

    `model` is the network's config, its number of classes K included. `classes` are the K names in
    the order of the logits. `preprocessing` is that of validation images. `columns` are the names
    of the image and label columns of the run's CSV file, None for data of another source, and
    `label_separator` is what divides several labels of an image there, None where nothing does.
    `thresholds` are K probabilities: a class with at least that much is predicted. They are None
    unless images can have several labels. `epoch` of `epochs` is the epoch of training after which
    the weights were taken, from 1. `eval_precision` is the precision in which the run evaluated
    them. These three are None where they are not known. `temperature` divides the logits before a
    softmax, so that the highest probability is as often right as it says
    (`trickbag.metrics.temperature`); None where none was fitted, as for several labels an image.
    `task` is what the network does; of a detector or a segmenter `model` is the backbone.
    """

    model: ModelConfig
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    columns: tuple[str, str] | None = None
    thresholds: tuple[float, ...] | None = None
    epoch: int | None = None
    epochs: int | None = None
    eval_precision: Precision | None = None
    label_separator: str | None = None
    temperature: float | None = None
    task: TaskConfig = ClassificationConfig()

    @property
    def multi_label(self) -> bool:
        """Whether the network gives each class a probability of its own."""
        return self.thresholds is not None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data, its schema version included."""
        return {
            "schema": SCHEMA,
            "model": plain(self.model),
            "classes": list(self.classes),
            "preprocessing": plain(self.preprocessing),
            "columns": plain(self.columns),
            "thresholds": plain(self.thresholds),
            "epoch": self.epoch,
            "epochs": self.epochs,
            "eval_precision": self.eval_precision,
            # Only where there is one: the bytes of all other files stay.
            **({} if self.label_separator is None else {"label_separator": self.label_separator}),
            **({} if self.temperature is None else {TEMPERATURE_KEY: self.temperature}),
            **({} if self.task == ClassificationConfig() else {"task": plain(self.task)}),
        }

    def to_json(self) -> str:
        """Return the record as a file keeps it; equal records give equal texts."""
        return json.dumps(self.to_dict(), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, origin: str) -> Self:
        """Read what `to_json` returned.

        Raises UserError for a damaged or missing field, or another schema version; it names
        `origin`, the field and what to do.
        """
        return cls._from_dict(read_record(text, origin), origin)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the record of a weights file, or of a run folder's best weights.

        Raises UserError as `from_json`, and for a file that is missing, damaged, no safetensors
        file, or of other origin.
        """
        file = weights_file(path)
        return cls.from_json(_header_text(file), str(file))

    @classmethod
    def _from_dict(cls, data: Mapping[str, Any], origin: str) -> Self:
        # Checked first: the fields of another version can have other meanings.
        if (schema := data.get("schema", SCHEMA)) != SCHEMA:
            raise UserError(
                f"{origin}: its metadata has schema {schema!r}, and this trickbag reads {SCHEMA}",
                "use the version of trickbag that wrote it",
            )
        if "model" not in data:
            raise UserError(
                f"{origin} does not say which network its weights are of",
                "build the network and use load_weights (--init), or give weights that "
                "`trickbag train` wrote",
            )
        try:
            model = read_model(data["model"])
            task = read_task(data["task"]) if "task" in data else ClassificationConfig()
        except UserError as error:
            raise UserError(f"{origin}: {error.reason}", error.way_out) from error
        return cls(
            model=model,
            classes=_classes(data.get("classes"), model.num_classes, origin),
            preprocessing=_preprocessing(data.get("preprocessing"), origin),
            columns=_columns(data.get("columns"), origin),
            thresholds=_thresholds(data.get("thresholds"), model.num_classes, origin),
            epoch=_count(data.get("epoch"), origin),
            epochs=_count(data.get("epochs"), origin),
            eval_precision=_precision(data.get("eval_precision"), origin),
            label_separator=_separator(data.get("label_separator"), origin),
            temperature=_temperature(data.get(TEMPERATURE_KEY), origin),
            task=task,
        )


def read_preprocessing(path: Path) -> Preprocessing | None:
    """Read how a weights file says that images are prepared; None for a file of other origin.

    Only this field is read, so that weights fit a network even if this version does not know their
    own network. Raises UserError for a file that cannot be read or whose field is damaged.
    """
    file = weights_file(path)
    data = read_record(_header_text(file), str(file))
    if "preprocessing" not in data:
        return None
    return _preprocessing(data["preprocessing"], str(file))


def read_classes(path: Path) -> tuple[str, ...] | None:
    """Read the names of the classes of a weights file; None for a file of other origin.

    Raises UserError as `read_preprocessing`.
    """
    file = weights_file(path)
    data = read_record(_header_text(file), str(file))
    if "classes" not in data:
        return None
    names = data["classes"]
    return _classes(names, len(names) if isinstance(names, list) else 0, str(file))


def read_image_size(path: Path) -> Size | None:
    """Read the image size for which the network of a weights file is built; None for any.

    Raises UserError as `read_preprocessing`.
    """
    file = weights_file(path)
    model = read_record(_header_text(file), str(file)).get("model")
    size = model.get("image_size") if isinstance(model, dict) else None
    if isinstance(size, list) and len(size) == 2 and all(isinstance(side, int) for side in size):
        return as_size(*size)
    return size if isinstance(size, int) else None


def weights_file(path: Path) -> Path:
    """Return the weights file that a path means.

    That is the file itself, the kept weights of a run's folder, or with `RUN:last` the weights of
    its last epoch. Raises UserError if there is none.
    """
    if names_last_weights(path):
        return _last_weights(folder_of_run(path))
    if is_folder(path):
        file = path / BEST_WEIGHTS
        if not exists(file):
            _require_not_deleted(path)
            checkpoints = sorted(path.glob("*.index"))
            way_out = "give the folder of a run, or a .safetensors file"
            if checkpoints:
                prefix = checkpoints[-1].with_suffix("")
                way_out = f"of the TensorFlow checkpoint in it give the prefix, {prefix}"
            raise UserError(f"{path} is no run: it has no {BEST_WEIGHTS}", way_out)
        return file
    if not exists(path):
        _require_not_deleted(path.parent)
        raise UserError(
            f"no file or folder {path}", "give the folder of a run, or a .safetensors file"
        )
    return path


def _last_weights(folder: Path) -> Path:
    last = folder / LAST_WEIGHTS
    if exists(last):
        return last
    kept = weights_file(folder)
    metadata = WeightsMetadata.read(kept)
    if metadata.epoch is None:
        raise UserError(
            f"{folder} has no {LAST_WEIGHTS}: the run was written before that file existed",
            f"give {kept}, the weights of its best epoch",
        )
    if metadata.epoch != metadata.epochs:
        raise UserError(
            f"{folder} has no {LAST_WEIGHTS}: the run has not finished, or the file was removed",
            f"finish the run, or give {kept}, the weights of epoch {metadata.epoch}",
        )
    return kept


def _require_not_deleted(folder: Path) -> None:
    """Raise UserError where a study has deleted the weights of a run's folder."""
    if (deleted := DeletedWeights.read(folder)) is not None:
        raise deleted.error(folder)


def unreadable(file: Path, error: Exception) -> UserError:
    """Return the error of a file that safetensors cannot read."""
    reason = first_line(error)
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    return UserError(
        f"{file} cannot be read as safetensors ({reason})",
        "give another copy, or a file of that format",
    )


def require_weights(file: Path) -> None:
    """Check that weights lie in a regular file; UserError where they do not."""
    try:
        require_regular(file, WEIGHTS)
    except FileNotFoundError as error:
        raise unreadable(file, error) from error


def header_texts(file: Path) -> dict[str, str]:
    """Read the texts of a file's header by key; UserError for a file that cannot be read."""
    require_weights(file)
    try:
        # This reads the header alone, not the tensors.
        with utf8_path(file) as path, safe_open(path, framework="pt") as opened:
            return opened.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise unreadable(file, error) from error


def _header_text(file: Path) -> str:
    return header_texts(file).get(METADATA_KEY, "{}")


def read_record(text: str, origin: str) -> dict[str, Any]:
    """Read a record as plain data; UserError, which names `origin`, if it is damaged."""
    try:
        data = parse_json(text, "it")
    except UserError as error:
        raise UserError(
            f"{origin}: its trickbag metadata is damaged ({error.reason})", "use another copy of it"
        ) from error
    if not isinstance(data, dict):
        raise UserError(f"{origin}: its trickbag metadata is no mapping", "use another copy of it")
    return data


def _missing(origin: str, field: str) -> UserError:
    return UserError(
        f"{origin}: its weights file does not say {field}",
        "give weights that `trickbag train` wrote",
    )


def _classes(data: object, number: int, origin: str) -> tuple[str, ...]:
    if not isinstance(data, list) or not all(isinstance(name, str) for name in data):
        raise _missing(origin, "the names of the classes")
    if len(data) != number or len(set(data)) < len(data):
        raise _missing(origin, "as many class names as its network has classes")
    # Names were once written as they were found, and two forms of a name were two classes.
    names = tuple(map(composed, data))
    return names if len(set(names)) == len(data) else tuple(data)


def _preprocessing(data: object, origin: str) -> Preprocessing:
    try:
        return read(Preprocessing, data, "preprocessing")
    except UserError as error:
        raise _missing(origin, f"how images are prepared ({error})") from error


def _columns(data: object, origin: str) -> tuple[str, str] | None:
    if data is None:
        return None
    if (
        not isinstance(data, list)
        or len(data) != 2
        or not all(isinstance(name, str) for name in data)
    ):
        raise _missing(origin, "the columns of its CSV as two names")
    return data[0], data[1]


def _separator(data: object, origin: str) -> str | None:
    if data is not None and (not isinstance(data, str) or not data):
        raise _missing(origin, "what divides several labels, as text")
    return data


def _temperature(data: object, origin: str) -> float | None:
    if data is None:
        return None
    # In Python a bool is a number. No text of JSON here is NaN or infinite.
    if not isinstance(data, int | float) or isinstance(data, bool) or not 0 < data < math.inf:
        raise _missing(origin, "a temperature above 0")
    return float(data)


def _count(data: object, origin: str) -> int | None:
    # In Python a bool is an int, in JSON it is no number.
    if data is not None and (not isinstance(data, int) or isinstance(data, bool) or data < 1):
        raise _missing(origin, "its epoch as a number from 1")
    return data


def _precision(data: object, origin: str) -> Precision | None:
    if data is not None and data not in get_args(Precision):
        raise _missing(origin, f"a precision, one of {', '.join(get_args(Precision))}")
    return cast("Precision | None", data)


def _thresholds(data: object, number: int, origin: str) -> tuple[float, ...] | None:
    if data is None:
        return None
    if (
        not isinstance(data, list)
        or len(data) != number
        or not all(isinstance(value, int | float) and 0 <= value <= 1 for value in data)
    ):
        raise _missing(origin, "a threshold from 0 to 1 for each class")
    return tuple(map(float, data))
