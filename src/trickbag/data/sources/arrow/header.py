"""What a pack says of itself, beside its rows: one typed record in the metadata of its schema."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from trickbag.checksums import checksum_text
from trickbag.ranges import AtLeast, Between
from trickbag.settings import Settings, plain, read

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "SCHEMA",
    "Encoding",
    "PackHeader",
    "Quality",
    "ShortSide",
    "header_of",
    "metadata_of",
]

SCHEMA: Literal[1] = 1
"""Version of a pack: its columns, its metadata and its checksums."""

Encoding = Literal["original", "jpeg", "raw"]
"""How images lie in a pack: as the bytes of their files, as JPEG, or as uint8 (H, W, C)."""

_HEADER_KEY, _CHECKSUM_KEY = b"trickbag_pack", b"trickbag_pack_crc32"

ShortSide = Annotated[int, Between(8, 16_384)]
"""The shorter side of images that are scaled down, in pixels."""

Quality = Annotated[int, Between(1, 100)]
"""The quality of JPEGs that are written."""

_Rows = Annotated[int, Between(0, 2**40)]
_Side = Annotated[int, AtLeast(1, 2**31)]


@dataclass(frozen=True, kw_only=True)
class PackHeader(Settings):
    """The record of a pack.

    encoding, short_side, quality: how its images were written. classes, multi_label, natural_size,
    mirror, columns, label_separator: as in `Source`. parts: name and number of images of each part,
    in their order. fingerprint: that of the source. image_column, label_column, group_column: the
    settings with which the source was read. left_out: files that its listing left out, and why.
    passed_over: kind, reason, files and `ignored` of each `PassedOver`.
    """

    schema: Literal[1] = SCHEMA
    encoding: Encoding
    short_side: ShortSide | None = None
    quality: Quality | None = None
    classes: tuple[str, ...]
    parts: tuple[tuple[str, _Rows], ...]
    fingerprint: str
    multi_label: bool = False
    natural_size: _Side | None = None
    mirror: bool = True
    columns: tuple[str, str] | None = None
    label_separator: str | None = None
    image_column: str | None = None
    label_column: str | tuple[str, ...] | None = None
    group_column: str | None = None
    left_out: tuple[tuple[str, str], ...] = ()
    passed_over: tuple[tuple[str, str, tuple[str, ...], bool], ...] = ()


def metadata_of(header: PackHeader) -> dict[bytes, bytes]:
    """Return the metadata of a pack's schema: the header as JSON, and its checksum."""
    # As ASCII, whose escapes hold names that are not UTF-8 too.
    text = json.dumps(plain(header), sort_keys=True).encode("ascii")
    return {_HEADER_KEY: text, _CHECKSUM_KEY: checksum_text(zlib.crc32(text)).encode()}


def header_of(metadata: Mapping[bytes, bytes]) -> PackHeader | int | None:
    """Read the header of a pack: None if it has none, its version if that is another one.

    Raises ValueError if it is damaged, and UserError if it is of another form.
    """
    text = metadata.get(_HEADER_KEY)
    if text is None:
        return None
    if metadata.get(_CHECKSUM_KEY) != checksum_text(zlib.crc32(text)).encode():
        raise ValueError("the checksum of its header does not match")
    data = json.loads(text)
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA and isinstance(schema, int):
        return schema
    return read(PackHeader, data, "pack")
