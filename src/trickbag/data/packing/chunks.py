"""The images of a source in the order of its pack, in chunks: one Arrow record batch each."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.data.decoding.stamped_cache import decoder_versions
from trickbag.data.duplicates import pixel_digest
from trickbag.data.source import EncodedPart
from trickbag.settings import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from trickbag.data.packing.encode import ImageWriter, PackedImage
    from trickbag.data.source import Part
    from trickbag.data.sources.arrow.header import PackHeader

__all__ = ["Chunk", "chunks_of", "input_key", "is_utf8", "packed_chunk"]

_ROWS = 512
_BYTES, _BYTES_TO_RAW = 32 * 2**20, 8 * 2**20
"""The most bytes of files in a chunk; fewer where they become pixels of the same size."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Images of a part, from `start` to `end`; `part` is its name."""

    part: str
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


def chunks_of(parts: Mapping[str, Part], writer: ImageWriter) -> list[Chunk]:
    """Divide the images of parts into chunks, by their number and the sizes of their files.

    The division depends on nothing else, so that the same source gives the same pack.
    """
    most = _BYTES_TO_RAW if writer.encoding == "raw" and not writer.short_side else _BYTES
    chunks = []
    for name, part in parts.items():
        start = held = 0
        for i, size in enumerate(part.sizes.clip(0).tolist()):
            if i > start and (i - start == _ROWS or held + size > most):
                chunks.append(Chunk(part=name, start=start, end=i))
                start, held = i, 0
            held += size
        if start < len(part):
            chunks.append(Chunk(part=name, start=start, end=len(part)))
    return chunks


def is_utf8(parts: Mapping[str, Part]) -> bool:
    """Tell whether all names and groups are UTF-8; names of files need not be."""
    try:
        for part in parts.values():
            "".join((*part.names, *part.groups)).encode()
    except UnicodeEncodeError:
        return False
    return True


def input_key(parts: Mapping[str, Part], header: PackHeader) -> str:
    """Return a hash, 16 hexadecimal digits, of all that decides the bytes of a pack.

    Files count by their places, sizes and times of change.
    """
    digest = hashlib.blake2b(digest_size=8)
    digest.update(repr(plain(header)).encode("utf-8", "surrogateescape"))
    digest.update(decoder_versions("simplejpeg", "pillow", "pillow-heif", "pyarrow").encode())
    for part in parts.values():
        for i in range(len(part)):
            stamp = part.stamp(i) if isinstance(part, EncodedPart) else pixel_digest(part.read(i))
            row = (part.names[i], int(part.sizes[i]), stamp, part.labels[i].tolist())
            digest.update(repr(row).encode("utf-8", "surrogateescape"))
        digest.update(repr(part.groups).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def packed_chunk(
    chunk: Chunk, part: Part, writer: ImageWriter, schema: Any, ended: Callable[[], bool]
) -> Any:
    """Write the images of a chunk; return them as a record batch.

    Returns None if `ended` says between two images that nobody waits for them.
    """
    import pyarrow as pa

    images = []
    for i in range(chunk.start, chunk.end):
        if ended():
            return None
        images.append(writer.write(part, i))
    columns = dict(_columns(chunk, part, images))
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _columns(
    chunk: Chunk, part: Part, images: list[PackedImage]
) -> Iterator[tuple[str, list[Any]]]:
    """Yield the columns of a pack by their names; of labels and names both forms."""
    rows = slice(chunk.start, chunk.end)
    yield "name", [_encoded(name) for name in part.names[rows]]
    yield "group", [_encoded(group) for group in part.groups[rows]]
    yield "part", [chunk.part] * len(chunk)
    labels = part.labels[rows]
    if labels.ndim > 1:
        yield "labels", [np.flatnonzero(row).tolist() for row in labels]
    else:
        yield "label", [None if label < 0 else label for label in labels.tolist()]
    yield "image", [image.data for image in images]
    for name in ("height", "width", "original_height", "original_width"):
        # 0 means that it is not known.
        yield name, [getattr(image, name) or None for image in images]
    yield "original_bytes", [image.original_bytes for image in images]
    yield "frames", [image.frames for image in images]
    yield "crc32", [None if image.data is None else zlib.crc32(image.data) for image in images]
    yield "error", [None if image.error is None else _shown(image.error) for image in images]


def _encoded(text: str) -> bytes:
    """Return the bytes of a text, which are those of a file's name where it is one."""
    return text.encode("utf-8", "surrogateescape")


def _shown(reason: str) -> str:
    """Return a reason without what UTF-8 cannot hold."""
    return reason.encode("utf-8", "backslashreplace").decode()
