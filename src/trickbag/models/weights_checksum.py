"""The checksum of a weights file: in its record, over the record and all tensors.

A file without one is of another program, or was written before there were checksums.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch

from trickbag.checksums import checksum_text
from trickbag.errors import UserError
from trickbag.models.weights_metadata import METADATA_KEY, WeightsMetadata, read_record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

__all__ = ["record_text", "require_intact"]

_KEY = "checksum"
_ALGORITHM = "crc32"
_START = json.dumps({_KEY: f"{_ALGORITHM}:"})[:-2]
"""How a record begins that has a checksum: it is the first of the sorted fields."""


def record_text(record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return the record of a weights file, plain data, with the checksum of it and the tensors."""
    record = {key: value for key, value in record.items() if key != _KEY}
    return _text({**record, _KEY: _checksum(record, tensors)})


def require_intact(file: Path, texts: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
    """Compare a file's tensors and the texts of its header with the checksum in its record.

    Raises UserError if they do not fit. A file without a checksum passes.
    """
    origin = str(file)
    if METADATA_KEY not in texts:
        if any(text.startswith(_START) for text in texts.values()):
            raise _damaged(origin, f"its record is not under the key {METADATA_KEY!r}")
        return
    text = texts[METADATA_KEY]
    record = read_record(text, origin)
    stored = record.pop(_KEY, None)
    if stored is None:
        # Those of before have no fields that are not known today.
        known = {"schema", *(item.name for item in fields(WeightsMetadata))}
        unknown = [name for name in record if name not in known]
        if unknown:
            raise _damaged(origin, f"its record has a field {unknown[0]!r} and no checksum")
        return
    if text != _text({**record, _KEY: stored}) or stored != _checksum(record, tensors):
        raise _damaged(origin, "its checksum does not match")


def _text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, sort_keys=True, allow_nan=False)


def _checksum(record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    total = zlib.crc32(_text(record).encode())
    for name, tensor in sorted(tensors.items()):
        total = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), total)
        # As bytes: numpy has no bfloat16. A scalar cannot be viewed as another type.
        total = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, total)
    return f"{_ALGORITHM}:{checksum_text(total)}"


def _damaged(origin: str, problem: str) -> UserError:
    return UserError(
        f"the weights {origin} are damaged ({problem})",
        "give another copy, or train them again",
    )
