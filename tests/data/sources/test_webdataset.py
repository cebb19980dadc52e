"""Shards of WebDataset: what a URL names, which entries are images and labels, damaged shards."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import random
from pathlib import Path
from typing import Any

import pytest

from tests.builders.images import encode, photo
from tests.builders.sources import write_tar
from trickbag.data.config import DataConfig
from trickbag.data.dataset import fingerprint
from trickbag.data.source import EncodedPart, Source
from trickbag.data.sources import open_source
from trickbag.data.sources.webdataset import source as module
from trickbag.data.sources.webdataset.shards import braces_expanded
from trickbag.data.sources.webdataset.source import open_webdataset
from trickbag.data.sources.webdataset.tar_index import index_of
from trickbag.errors import UserError

IMAGES = [encode(photo(8, 6, seed), "PNG") for seed in range(4)]

Entries = list[tuple[str, bytes]]


def sample(key: str, label: str, image: bytes = IMAGES[0]) -> Entries:
    return [(f"{key}.png", image), (f"{key}.cls", label.encode())]


TWO = [*sample("0", "cat"), *sample("1", "dog", IMAGES[1])]


def opened(url: object, **columns: Any) -> Source:
    return open_webdataset(str(url), f"wds:{url}", **columns)


def refused(url: object, **columns: Any) -> str:
    with pytest.raises(UserError) as caught:
        opened(url, **columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def images(source: Source) -> dict[str, tuple[str, ...]]:
    return {part: images.names for part, images in source.parts.items()}


def labels(source: Source) -> list[str]:
    return [source.classes[label] for label in source.parts["train"].labels]


def passed(source: Source) -> dict[str, tuple[str, ...]]:
    return {record.kind: record.files for record in source.passed_over}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a-{000..002}.tar", ["a-000.tar", "a-001.tar", "a-002.tar"]),
        ("a-{9..11}", ["a-9", "a-10", "a-11"]),
        ("{x,y}/{1..2}", ["x/1", "x/2", "y/1", "y/2"]),
        ("plain.tar", ["plain.tar"]),
        ("a{}b", ["ab"]),
        ("a{0..1", ["a{0..1"]),
        ("a-{07..07}", ["a-07"]),
    ],
)
def test_braces(pattern: str, names: list[str]) -> None:
    assert braces_expanded(pattern, "") == names


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a-{5..2}", "names no shard; the smaller number goes first"),
        ("a-{0..99999999999}", "more than 1,000,000"),
        ("{0..9999}{0..9999}", "names 100,000,000 shards"),
    ],
)
def test_braces_that_name_no_shard_or_too_many(pattern: str, reason: str) -> None:
    assert reason in refused(pattern)


@pytest.mark.parametrize(
    ("files", "url", "parts"),
    [
        (["x-0.tar", "x-1.tar"], "", {"train": 2}),
        (["train-0.tar", "val-0.tar", "test-0.tar"], "", {"train": 1, "val": 1, "test": 1}),
        (["train/0.tar", "validation/0.tar"], "", {"train": 1, "val": 1}),
        (["imagenet-train-0.tar", "imagenet-validation-0.tar"], "", {"train": 1, "val": 1}),
        (["train-0.tar", "train-1.tar", "other.tar"], "train-{0..1}.tar", {"train": 2}),
        (["train-0.tar", "val-0.tar", "other.tar"], "{train,val}-*.tar", {"train": 1, "val": 1}),
        (["a[1].tar"], "a[1].tar", {"train": 1}),
        (["deep/train-0.tar"], "*/train-?.tar", {"train": 1}),
    ],
)
def test_shards_and_their_parts(
    tmp_path: Path, files: list[str], url: str, parts: dict[str, int]
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        write_tar(tmp_path / file, TWO)
    source = opened(tmp_path / url)
    assert {part: len(names) // 2 for part, names in images(source).items()} == parts


def test_shards_of_which_some_name_a_part(tmp_path: Path) -> None:
    for file in ("train-0.tar", "extra.tar"):
        write_tar(tmp_path / file, TWO)
    assert "extra.tar names no part, but others do: train-0.tar" in refused(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("pattern", ["", "*.tar", "pipe.tar"])
def test_a_pipe_does_not_block(tmp_path: Path, pattern: str) -> None:
    os.mkfifo(tmp_path / "pipe.tar")
    assert "there is no shard" in refused(tmp_path / pattern)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "names nothing"),
        ("none", "there is no shard"),
        ("train-{0..3}.tar", "train-2.tar and 1 more"),
        ("*.tgz", "has no shard"),
        ("empty", "has no shard"),
        ("nowhere://x/y.tar", "nowhere:// cannot be opened"),
        ("a\0b.tar", "a\0b.tar"),
    ],
)
def test_urls_without_shards(tmp_path: Path, url: str, reason: str) -> None:
    (tmp_path / "empty").mkdir()
    for i in range(2):
        write_tar(tmp_path / f"train-{i}.tar", TWO)
    assert reason in refused(url if "://" in url or not url else tmp_path / url)


def test_names_are_relative_and_say_the_shard(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    write_tar(tmp_path / "train" / "0.tar", [*sample("./a/b/0", "cat"), *sample("a/1", "dog")])
    assert images(opened(tmp_path)) == {"train": ("train/0.tar/a/b/0.png", "train/0.tar/a/1.png")}


JSON = {"label": 3, "class_name": "cat", "width": 8}


@pytest.mark.parametrize(
    ("entries", "columns", "expected"),
    [
        ([("0.cls", b"7\n"), ("1.cls", b" 11 ")], {}, ["7", "11"]),
        ([("0.cls", b"cat"), ("0.txt", b"a caption"), ("1.cls", b"dog")], {}, ["cat", "dog"]),
        ([("0.txt", b"cat"), ("1.txt", b"dog")], {}, ["cat", "dog"]),
        ([("0.json", b'{"label": 3}'), ("1.json", b'{"label": "x"}')], {}, ["3", "x"]),
        ([("0.json", b'{"class": 3.0, "w": 1}'), ("1.json", b'{"class": 4}')], {}, ["3", "4"]),
        # A .json without a label says nothing; the next kind counts.
        (
            [("0.json", b'{"w": 1}'), ("0.txt", b"a"), ("1.txt", b"b")],
            {},
            ["a", "b"],
        ),
        (
            [(f"{i}.json", json.dumps({"species": "ab"[i], "label": 1}).encode()) for i in (0, 1)],
            {"label_column": "species"},
            ["a", "b"],
        ),
        (
            [("0.cls", b"1"), ("0.name", b"a"), ("1.cls", b"1"), ("1.name", b"b")],
            {"label_column": ".name"},
            ["a", "b"],
        ),
    ],
)
def test_labels(
    tmp_path: Path, entries: Entries, columns: dict[str, str], expected: list[str]
) -> None:
    pictures = [("0.jpg", encode(photo(), "JPEG")), ("1.PNG", IMAGES[0])]
    write_tar(tmp_path / "x.tar", [*pictures, *entries])
    source = opened(tmp_path / "x.tar", **columns)
    assert labels(source) == expected
    assert source.left_out == ()


@pytest.mark.parametrize(
    ("entries", "columns", "reason"),
    [
        ([("0.png", b"")], {}, "no label in .cls, .json or .txt; its entries are .png (1)"),
        ([("0.png", b""), ("0.json", b'{"w": 1}')], {}, ".json (1), and .json has w"),
        ([("0.png", b""), ("0.cls", b" ")], {}, "no image has a label"),
        ([("0.cls", b"1")], {}, "has no image"),
        (
            [*TWO, ("0.jpg", b"")],
            {},
            "more than one image in the sample 0: jpg, png; its entries are",
        ),
        (TWO, {"image_column": "webp"}, "no entry .webp"),
        (TWO, {"label_column": "name"}, "no label 'name'"),
        (TWO, {"group_column": "patient"}, "no group 'patient'"),
        ([("0", b"x")], {}, "has no"),
        ([], {}, "has no entries"),
    ],
)
def test_entries_that_are_not_clear(
    tmp_path: Path, entries: Entries, columns: dict[str, str], reason: str
) -> None:
    write_tar(tmp_path / "x.tar", entries)
    assert reason in refused(tmp_path, **columns)


def test_the_image_can_be_chosen(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", [*TWO, ("0.jpg", b""), ("1.seg.png", b"")])
    source = opened(tmp_path, image_column="png")
    assert images(source) == {"train": ("x.tar/0.png", "x.tar/1.png")}
    assert passed(source) == {".jpg": ("x.tar/0.jpg",), ".seg.png": ("x.tar/1.seg.png",)}


def test_kinds_that_end_in_that_of_an_image(tmp_path: Path) -> None:
    entries = [("0.input.png", IMAGES[0]), ("0.cls", b"a"), ("1.input.png", b""), ("1.cls", b"b")]
    write_tar(tmp_path / "x.tar", entries)
    assert images(opened(tmp_path)) == {"train": ("x.tar/0.input.png", "x.tar/1.input.png")}


def test_what_is_not_taken_is_accounted_for(tmp_path: Path) -> None:
    entries = [
        *TWO,
        ("2.png", IMAGES[2]),
        ("3.cls", b"cat"),
        ("0.npy", b"x"),
        ("._0.png", b"x"),
        *sample("0", "dog", IMAGES[3]),
        ("4.png", IMAGES[3]),
        ("4.cls", b"x" * 70_000),
    ]
    write_tar(tmp_path / "x.tar", entries)
    (tmp_path / "nshards.txt").write_text("1")
    (tmp_path / ".hidden").write_text("1")
    source = opened(tmp_path)
    assert passed(source) == {
        ".txt": ("nshards.txt",),
        "hidden": ("x.tar/._0.png",),
        ".npy": ("x.tar/0.npy",),
        "no image": ("x.tar/3.cls",),
        "no label": ("x.tar/2.png",),
        "repeated": ("x.tar/0.cls", "x.tar/0.png"),
    }
    assert [(*error,) for error in source.left_out] == [
        ("x.tar/4.png", "its .cls of 70,000 bytes is too large for a label")
    ]
    # The later of two entries of a name counts, as when a tar file is unpacked.
    assert labels(source) == ["dog", "dog"]


def test_groups(tmp_path: Path) -> None:
    values = ['{"patient": "p"}', '{"patient": 7}', '{"patient": null}', "{}"]
    entries = [
        entry
        for i, text in enumerate(values)
        for entry in (*sample(f"{i}", "ab"[i % 2], IMAGES[i]), (f"{i}.json", text.encode()))
    ]
    write_tar(tmp_path / "x.tar", entries)
    source = opened(tmp_path)
    assert source.parts["train"].groups == ()
    assert "--set data.group_column=patient" in source.notes[0].text
    source = opened(tmp_path, group_column="patient")
    assert source.parts["train"].groups == ("p", "7", "", "")
    assert opened(tmp_path, group_column="doctor", strict=False).parts["train"].groups == ()


def test_labels_that_stand_for_missing_values(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", [*TWO, *sample("2", "NaN")])
    source = opened(tmp_path)
    assert (source.classes, passed(source)) == (("cat", "dog"), {"no label": ("x.tar/2.png",)})
    assert "'NaN' (1)" in source.notes[0].text
    assert opened(tmp_path, na_labels="class").classes == ("NaN", "cat", "dog")


def test_labels_that_are_captions_are_noted(tmp_path: Path) -> None:
    entries = [
        entry for i in range(4) for entry in ((f"{i}.png", b""), (f"{i}.txt", f"a {i}".encode()))
    ]
    write_tar(tmp_path / "x.tar", entries)
    (note,) = opened(tmp_path).notes
    assert "4 labels of 4 images, from .txt: are they captions?" in note.text


def test_json_that_holds_no_label(tmp_path: Path) -> None:
    bad = [b"{", b"[1]", b'{"label": [1, 2]}', b"[" * 9000]
    entries = list(TWO) + [
        entry for i, text in enumerate(bad) for entry in ((f"b{i}.png", b""), (f"b{i}.json", text))
    ]
    entries = [(name.replace(".cls", ".json"), data) for name, data in entries]
    entries[1] = ("0.json", b'{"label": "cat"}')
    entries[3] = ("1.json", b'{"label": "dog"}')
    write_tar(tmp_path / "x.tar", entries)
    assert [error.reason for error in opened(tmp_path).left_out] == [
        "its .json is damaged",
        "its .json is no object",
        "'label' of its .json: list is no label",
        "its .json is damaged",
    ]


# A header takes a block of 512 bytes, and so does the content of each entry of these.
DAMAGE = {
    "within an image": (lambda data: data[: 5 * 512 + 20], 2, "unexpected end of data"),
    "within a header": (lambda data: data[: 4 * 512 + 100], 2, "cut off within a header"),
    "between entries": (lambda data: data[: 4 * 512], 2, "the blocks that end a tar file"),
    "header": (
        lambda data: data[: 4 * 512] + b"x" * 512 + data[5 * 512 :],
        2,
        "damaged at byte 2,048",
    ),
    "two in one": (lambda data: data + data, 4, "several tar files in one"),
    "empty": (lambda data: b"", 0, "empty file"),
    "compressed": (gzip.compress, 0, "compressed with gzip; unpack it"),
    "no tar": (lambda data: b"hello" * 500, 0, ""),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_shard_is_named_and_used_up_to_the_damage(tmp_path: Path, damage: str) -> None:
    write_tar(tmp_path / "a.tar", TWO)
    change, entries, reason = DAMAGE[damage]
    whole_tar = write_tar(tmp_path / "b.tar", TWO).read_bytes()
    (tmp_path / "b.tar").write_bytes(change(whole_tar))
    source = opened(tmp_path)
    errors = {error.file: error.reason for error in source.left_out}
    assert reason in errors["b.tar"]
    assert errors.keys() <= {"b.tar", "b.tar/1.png"}
    names = images(source)["train"]
    assert len([name for name in names if name.startswith("b.tar")]) == entries // 2
    # The same from the index that is kept.
    assert opened(tmp_path).left_out == source.left_out


def test_an_entry_of_negative_size_ends_the_index(tmp_path: Path) -> None:
    data = bytearray(write_tar(tmp_path / "x.tar", TWO).read_bytes())
    header = data[1024:1536]
    header[124:136] = (-1024).to_bytes(12, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data[1024:1536] = header
    index = index_of(io.BytesIO(bytes(data)), lambda name: False)
    assert [entry.name for entry in index.entries] == ["0.png"]
    assert index.problem == "damaged at byte 1,024: an entry of negative size"


@pytest.mark.parametrize("seed", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in (1, 2))])
def test_no_damage_leads_to_another_error(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    complete = write_tar(tmp_path / "x.tar", [*TWO, ("d" * 150 + ".png", b"x")]).read_bytes()
    for _ in range(150):
        data = bytearray(complete)
        for _ in range(rng.choice((1, 2, 8, 60))):
            # Most are headers, where damage does most.
            data[rng.randrange(len(data) // 2)] = rng.randrange(256)
        index = index_of(
            io.BytesIO(bytes(data[: rng.choice((len(data), 3000))])), lambda name: True
        )
        assert all(entry.size >= 0 and entry.start > 0 for entry in index.entries)


def test_a_source_of_damaged_shards_alone_says_the_first_reason(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"")
    assert "(a.tar: empty file)" in refused(tmp_path)


def test_a_shard_is_gone_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    odd = "caf\udce9"
    write_tar(tmp_path / "x.tar", [*TWO, *sample(odd, "dog")])
    first = opened(tmp_path / "x.tar")
    with monkeypatch.context() as patch:
        patch.setattr(module, "index_of", None)
        again = opened(tmp_path / "x.tar")
    assert (
        images(again)
        == images(first)
        == {"train": ("x.tar/0.png", "x.tar/1.png", f"x.tar/{odd}.png")}
    )
    assert fingerprint(first.classes, first.parts) == fingerprint(again.classes, again.parts)
    (file,) = (tmp_path / "cache" / "trickbag" / "shards").iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    for damaged in (bytes(data), data[:50], b"", b"[" * 100_000):
        file.write_bytes(damaged)
        (note,) = opened(tmp_path / "x.tar").notes
        assert note.kind == "damage"
        assert "gone through again" in note.text
        assert opened(tmp_path / "x.tar").notes == ()
    # A shard that was written again is not the one that was indexed.
    write_tar(tmp_path / "x.tar", [*TWO, *sample("2", "cow")])
    assert opened(tmp_path / "x.tar").classes == ("cat", "cow", "dog")


def test_an_index_that_cannot_be_kept_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    write_tar(tmp_path / "x.tar", TWO)
    (note,) = opened(tmp_path / "x.tar").notes
    assert "not kept for the next run" in note.text


def test_a_shard_that_changes_after_it_was_listed(tmp_path: Path) -> None:
    from trickbag.data.decoding.decode import DecodeError

    write_tar(tmp_path / "x.tar", TWO)
    part = opened(tmp_path).parts["train"]
    write_tar(tmp_path / "x.tar", [*sample("0", "cat", IMAGES[3]), *TWO])
    with pytest.raises(DecodeError, match="its shard has changed since it was listed"):
        part.read(0)
    (tmp_path / "x.tar").unlink()
    with pytest.raises(DecodeError, match="cannot be read: No such file"):
        part.read(0)


def test_shards_at_an_address(tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for part in ("train", "val"):
        write_tar(tmp_path / f"{part}-0.tar", TWO)
        memory.pipe_file(f"/far/set/{part}-0.tar", (tmp_path / f"{part}-0.tar").read_bytes())
    for url in ("memory://far/set", "memory://far/set/{train,val}-0.tar", "memory://far/set/*.tar"):
        source = opened(url)
        assert images(source) == images(opened(tmp_path))
        part = pickle.loads(pickle.dumps(source.parts["val"]))
        assert isinstance(part, EncodedPart)
        assert [part.encoded(i) for i in range(2)] == IMAGES[:2]
        near, far = opened(tmp_path), source
        assert fingerprint(near.classes, near.parts) == fingerprint(far.classes, far.parts)
    missing = refused("memory://far/set/train-{0..1}.tar")
    assert "there is no shard memory:///far/set/train-1.tar" in missing


def test_the_command_lines_form(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", [*TWO, *sample("2", "cat", IMAGES[2]), *sample("3", "dog")])
    source = open_source(DataConfig(source=f"wds:{tmp_path}/x.tar"))
    assert len(source.parts["train"]) == 4
    with pytest.raises(UserError, match=r"data\.image_root is for a \.csv file"):
        open_source(DataConfig(source=f"wds:{tmp_path}", image_root=str(tmp_path)))
