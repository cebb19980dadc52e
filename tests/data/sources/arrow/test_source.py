"""Packs that are damaged, cut, replaced or none at all: one line, or the image by its name."""

from __future__ import annotations

import json
import os
import pickle
import random
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders.images import photo_folder
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.data.packing import chunks
from trickbag.data.packing.pack import write_pack
from trickbag.data.packing.settings import PackSettings
from trickbag.data.source import DecodeError, EncodedPart
from trickbag.data.sources import open_source
from trickbag.data.sources.arrow.header import header_of, metadata_of
from trickbag.data.sources.arrow.part import PackedPart
from trickbag.errors import RunFailed, UserError


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = photo_folder(tmp_path_factory.mktemp("set") / "photos", {"cat": 6, "dog": 6})
    out = folder.parent / "x.arrow"
    before, chunks._ROWS = chunks._ROWS, 5
    try:
        write_pack(DataConfig(source=str(folder)), out)
    finally:
        chunks._ROWS = before
    return out.read_bytes()


@pytest.fixture
def file(intact: bytes, tmp_path: Path) -> Path:
    (tmp_path / "x.arrow").write_bytes(intact)
    return tmp_path / "x.arrow"


def part_of(file: Path) -> PackedPart:
    part = open_source(DataConfig(source=str(file))).parts["train"]
    assert isinstance(part, PackedPart)
    return part


def content(part: EncodedPart) -> list[tuple[Any, ...]]:
    rows = []
    for i, name in enumerate(part.names):
        try:
            data: bytes | str = part.encoded(i)
        except DecodeError as error:
            data = str(error)
        rows.append((name, int(part.labels[i]), int(part.sizes[i]), data))
    return rows


def outcome(file: Path) -> tuple[str | None, list[tuple[Any, ...]]]:
    """The text of the error with which a pack is refused, or else its content."""
    try:
        return None, content(part_of(file))
    except UserError as error:
        return str(error), []


def test_a_flipped_bit_is_refused_or_named_or_harmless(file: Path, intact: bytes) -> None:
    expected = content(part_of(file))
    rng = random.Random(0)
    refused = named = 0
    places = {*rng.sample(range(len(intact)), 110), *range(len(intact) - 600, len(intact), 13)}
    for place in sorted(places):
        data = bytearray(intact)
        data[place] ^= 1 << rng.randrange(8)
        damaged = file.parent / f"{place}.arrow"
        damaged.write_bytes(data)
        error, rows = outcome(damaged)
        if error is not None:
            refused += 1
            assert "\n" not in error
            assert str(damaged) in error
        else:
            other = [(a, b) for a, b in zip(expected, rows, strict=True) if a != b]
            named += len(other)
            for before, now in other:
                # Nothing but its bytes, and they are not given out.
                assert now[:3] == before[:3]
                assert now[3] == "damaged in its pack: its checksum does not match"
        damaged.unlink()
    assert refused > 20
    assert named > 20


def test_a_damaged_image_is_named_with_the_bad_files(file: Path, intact: bytes) -> None:
    part = part_of(file)
    place = intact.find(part.encoded(3)) + 40
    data = bytearray(intact)
    data[place] ^= 1
    file.write_bytes(data)
    dataset = prepare(DataConfig(source=str(file)))
    assert [tuple(error) for error in dataset.errors] == [
        (part.names[3], "damaged in its pack: its checksum does not match")
    ]
    assert len(dataset.train) + len(dataset.val) == 11


@pytest.mark.parametrize("encoding", ["original", "raw"])
def test_a_pack_cut_at_any_place_is_refused(encoding: Any, tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "photos", {"cat": 2, "dog": 2})
    out = tmp_path / "x.arrow"
    write_pack(DataConfig(source=str(folder)), out, PackSettings(encoding=encoding))
    intact = out.read_bytes()
    for length in range(0, len(intact), max(1, len(intact) // 60)):
        out.write_bytes(intact[:length])
        with pytest.raises(
            UserError, match=r"cut off before its end|empty file|no Arrow file"
        ) as e:
            open_source(DataConfig(source=str(out)))
        assert "copy it again" in str(e.value) or length < 6


def rewritten(file: Path, metadata: dict[bytes, bytes]) -> None:
    """Write the rows of a pack with other metadata."""
    import pyarrow as pa

    with pa.memory_map(str(file)) as source:
        reader = pa.ipc.open_file(source)
        pairs = [reader.get_batch_with_custom_metadata(i) for i in range(reader.num_record_batches)]
        schema = reader.schema.with_metadata(metadata)
    file.unlink()
    with pa.ipc.new_file(str(file), schema) as writer:
        for pair in pairs:
            writer.write_batch(
                pa.RecordBatch.from_arrays(pair.batch.columns, schema=schema),
                custom_metadata=pair.custom_metadata,
            )


def metadata(file: Path) -> dict[bytes, bytes]:
    import pyarrow as pa

    with pa.memory_map(str(file)) as source:
        return dict(pa.ipc.open_file(source).schema.metadata)


def refusal_of(file: Path) -> str:
    with pytest.raises(UserError) as error:
        open_source(DataConfig(source=str(file)))
    assert "\n" not in str(error.value)
    assert str(file) in str(error.value)
    return str(error.value)


def test_files_that_are_no_packs(file: Path) -> None:
    import pyarrow as pa

    table = pa.table({"image": [b"x"], "label": [1]})
    with pa.ipc.new_file(str(file), table.schema) as writer:
        writer.write_table(table)
    assert "is an Arrow file of another program; a pack is what `trickbag pack" in refusal_of(file)
    pa.ipc.new_file(str(file), table.schema).close()
    assert "of another program" in refusal_of(file)
    with pa.ipc.new_stream(str(file), table.schema) as writer:
        writer.write_table(table)
    assert "no Arrow file (in the IPC file format)" in refusal_of(file)
    assert "hf:FOLDER" in refusal_of(file)
    file.write_text("words " * 100)
    assert "no Arrow file" in refusal_of(file)
    file.write_bytes(b"")
    assert "is an empty file" in refusal_of(file)
    file.unlink()
    assert "does not exist" in refusal_of(file)
    os.mkfifo(file)
    assert "is not a regular file" in refusal_of(file)
    file.unlink()
    file.mkdir()
    assert "no class folders" in refusal_of(file)


def test_packs_of_another_version(file: Path) -> None:
    header = header_of(metadata(file))
    assert header is not None
    assert not isinstance(header, int)
    text = metadata_of(header)[b"trickbag_pack"]
    newer = json.dumps({"schema": 2, "new": 1}).encode()
    rewritten(file, {b"trickbag_pack": newer, b"trickbag_pack_crc32": b"%08x" % zlib.crc32(newer)})
    assert "a pack of version 2, and this program reads version 1; update" in refusal_of(file)
    odd = text.replace(b'"original"', b'"sideways"')
    rewritten(file, {b"trickbag_pack": odd, b"trickbag_pack_crc32": b"%08x" % zlib.crc32(odd)})
    assert "sideways" in refusal_of(file)


def test_a_header_that_does_not_fit_its_rows(file: Path) -> None:
    whole_metadata = metadata(file)
    rewritten(file, whole_metadata)
    part_of(file)
    text = whole_metadata[b"trickbag_pack"]
    rewritten(file, {**whole_metadata, b"trickbag_pack": text.replace(b"cat", b"cut")})
    assert "damaged: the checksum of its header does not match; copy it again" in refusal_of(file)
    for before, after, says in (
        (b'["train", 12]', b'["train", 13]', "12 rows, and not those"),
        (b'["train", 12]', b'["val", 12]', "12 rows, and not those"),
        (b'["cat", "dog"]', b'["cat"]', "a label is none of its 1 classes"),
    ):
        other = text.replace(before, after)
        assert other != text
        rewritten(
            file, {b"trickbag_pack": other, b"trickbag_pack_crc32": b"%08x" % zlib.crc32(other)}
        )
        assert says in refusal_of(file)


def test_a_file_that_is_replaced_while_it_is_read(file: Path, intact: bytes) -> None:
    part = part_of(file)
    there = pickle.loads(pickle.dumps(part))
    expected = part.encoded(0)
    file.rename(file.with_name("kept"))
    file.write_bytes(intact[:-100])
    # What is mapped stays; who comes later sees that it is another file.
    assert part.encoded(0) == expected
    from trickbag.data.sources.arrow.mapped import map_pack

    map_pack.cache_clear()
    with pytest.raises(RunFailed, match=r"x\.arrow was replaced while it was read; start again"):
        there.encoded(0)


def test_limits_of_images_hold(file: Path, tmp_path: Path) -> None:
    with_limit = open_source(DataConfig(source=str(file), max_pixels=10)).parts["train"]
    with pytest.raises(DecodeError, match=r"max_pixels"):
        with_limit.read(0)
    folder = photo_folder(tmp_path / "photos", {"cat": 2, "dog": 2})
    write_pack(DataConfig(source=str(folder)), tmp_path / "r.arrow", PackSettings(encoding="raw"))
    raw = open_source(DataConfig(source=str(tmp_path / "r.arrow"), max_pixels=10)).parts["train"]
    with pytest.raises(DecodeError, match=r"max_pixels"):
        raw.read(0)


def test_the_second_reading_is_of_the_same_memory(file: Path) -> None:
    part = part_of(file)
    first, second = part.view(0), part.view(0)
    places = [np.frombuffer(v, np.uint8).__array_interface__["data"][0] for v in (first, second)]
    assert places[0] == places[1]
    assert first.readonly
