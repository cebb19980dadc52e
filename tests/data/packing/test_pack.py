"""A pack beside its source: the same images, labels and trial, and what plain Arrow sees of it."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders.boxes import voc_folder
from tests.builders.images import digit_folder, encode, photo, photo_folder
from tests.builders.sources import KINDS, SourceKind, drawn_items, write_folder
from trickbag.data.annotations import AnnotationKind, open_annotated
from trickbag.data.config import DataConfig
from trickbag.data.dataset import fingerprint, prepare
from trickbag.data.decoding.decode import decode
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.packing import chunks
from trickbag.data.packing.pack import PackSummary, write_pack
from trickbag.data.packing.settings import PackSettings
from trickbag.data.source import DecodeError, EncodedPart, Part
from trickbag.data.sources import open_source
from trickbag.data.sources.arrow.part import PackedPart, RawPackedPart
from trickbag.errors import RunFailed, UserError
from trickbag.evaluate.inputs import find_inputs

LEFT_OPEN = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
"""Another library does not close all of its files."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_ROWS", 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes without parts, a file that is cut, and one that is no image."""
    root = photo_folder(tmp_path / "photos", {"cat": 9, "dog": 8})
    cut = (root / "cat" / sorted(os.listdir(root / "cat"))[0]).read_bytes()[:-20]
    (root / "cat" / "cut.png").write_bytes(cut)
    (root / "dog" / "notes.doc").write_text("no image")
    return root


def packed(source: Path | str, out: Path, workers: int = 2, **settings: Any) -> PackSummary:
    names = {"encoding", "short_side", "quality"}
    form = PackSettings(**{k: v for k, v in settings.items() if k in names})
    data = DataConfig(source=str(source), **{k: v for k, v in settings.items() if k not in names})
    return write_pack(data, out, form, workers=workers)


def assert_same_batches(folder: Path, *parts: Part) -> None:
    """The crops of training are the same, bit for bit, in two epochs."""
    data = DataConfig(source=str(folder), image_size=12)
    loaders = [
        Loader(part, data, Preprocessing.of(data, 12), train=True, batch_size=5, workers=0)
        for part in parts
    ]
    for epoch in (0, 3):
        batches = list(zip(*(loader.epoch(epoch) for loader in loaders), strict=True))
        assert len(batches) >= 2
        for first, other in batches:
            np.testing.assert_array_equal(first.images, other.images)
            np.testing.assert_array_equal(first.labels, other.labels)


def test_the_pack_of_original_bytes_is_the_same_trial(folder: Path, tmp_path: Path) -> None:
    summary = packed(folder, tmp_path / "x.arrow")
    assert [error.file for error in summary.left_out] == ["cat/cut.png"]
    a, b = (prepare(DataConfig(source=str(s))) for s in (folder, tmp_path / "x.arrow"))
    assert a.fingerprint == b.fingerprint
    assert summary.header.fingerprint == a.fingerprint
    assert a.errors == b.errors
    assert a.passed_over == b.passed_over
    for first, second in ((a.train, b.train), (a.val, b.val)):
        assert first.names == second.names
        np.testing.assert_array_equal(first.labels, second.labels)
        np.testing.assert_array_equal(first.sizes, second.sizes)
        assert isinstance(second, PackedPart)
    np.testing.assert_array_equal(a.val_shapes, b.val_shapes)
    assert_same_batches(folder, a.train, b.train)


@pytest.mark.parametrize(
    "settings",
    [{}, {"encoding": "jpeg", "quality": 75}, {"short_side": 8}, {"encoding": "raw"}],
    ids=["original", "jpeg", "short", "raw"],
)
def test_the_bytes_depend_on_the_source_alone(
    settings: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    packed(folder, tmp_path / "a.arrow", 1, **settings)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere)
    os.utime(elsewhere / "cat" / "cut.png", (1, 1))
    packed(elsewhere, tmp_path / "b.arrow", 3, **settings)
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()
    assert sorted(path.name for path in tmp_path.glob("*.arrow*")) == ["a.arrow", "b.arrow"]


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, id=kind.name, marks=(pytest.mark.slow, LEFT_OPEN) if kind.slow else ())
        for kind in KINDS
    ],
)
def test_a_source_of_any_kind_is_packed(kind: SourceKind, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    settings = kind.write(tmp_path / "set", kind.items(drawn_items()))
    summary = write_pack(DataConfig(**settings), tmp_path / "x.arrow")
    a, b = (
        open_source(data)
        for data in (DataConfig(**settings), DataConfig(source=str(tmp_path / "x.arrow")))
    )
    assert fingerprint(a.classes, a.parts) == fingerprint(b.classes, b.parts)
    assert list(a.parts) == list(b.parts) == list(summary.images)
    for name, part in a.parts.items():
        other = b.parts[name]
        assert isinstance(part, EncodedPart)
        assert isinstance(other, EncodedPart)
        assert [part.encoded(i) for i in range(len(part))] == [
            other.encoded(i) for i in range(len(part))
        ]


def test_parts_stay_in_their_order(tmp_path: Path) -> None:
    items = drawn_items(count=5)
    write_folder(tmp_path / "set", items)
    packed(tmp_path / "set", tmp_path / "x.arrow")
    a, b = (open_source(DataConfig(source=str(tmp_path / name))) for name in ("set", "x.arrow"))
    assert list(a.parts) == list(b.parts) == ["train", "val", "test"]
    for name, part in a.parts.items():
        assert part.names == b.parts[name].names


def test_several_labels_and_groups(tmp_path: Path) -> None:
    rows = [("a", "cat|dog", "p"), ("b", "dog", "q"), ("c", "cat", ""), ("d", "", "q")]
    for i, (name, *_) in enumerate(rows):
        (tmp_path / f"{name}.png").write_bytes(encode(photo(8, 6, i), "PNG"))
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "label", "patient"), *rows])
    given: dict[str, Any] = {"multi_label": True, "group_column": "patient"}
    packed(tmp_path / "t.csv", tmp_path / "x.arrow", **given)
    a, b = (
        open_source(DataConfig(source=str(tmp_path / name), **given))
        for name in ("t.csv", "x.arrow")
    )
    np.testing.assert_array_equal(a.parts["train"].labels, b.parts["train"].labels)
    assert a.parts["train"].labels.shape == (3, 2)
    assert a.parts["train"].groups == b.parts["train"].groups == ("p", "q", "")
    assert (a.columns, a.label_separator) == (b.columns, b.label_separator)
    assert (a.left_out, a.passed_over) == (b.left_out, b.passed_over)
    # The column is that of the table, which the pack need not be told.
    only = DataConfig(source=str(tmp_path / "x.arrow"), multi_label=True)
    assert open_source(only).parts["train"].groups == ("p", "q", "")
    with pytest.raises(UserError, match=r"images with several labels each; add --set data\.multi"):
        open_source(DataConfig(source=str(tmp_path / "x.arrow")))
    with pytest.raises(UserError, match=r"group_column = dog: .* with group_column = patient"):
        open_source(replace(only, group_column="dog"))


def test_one_label_is_not_several(folder: Path, tmp_path: Path) -> None:
    packed(folder, tmp_path / "x.arrow")
    with pytest.raises(UserError, match=r"images with one label each; leave data\.multi_label out"):
        open_source(DataConfig(source=str(tmp_path / "x.arrow"), multi_label=True))
    data = DataConfig(source=str(tmp_path / "x.arrow"), label_column="kind")
    with pytest.raises(UserError, match=r"label_column = kind: .* was written without it"):
        open_source(data)
    # Evaluation takes the columns of a run, which other data need not have.
    assert len(open_source(data, for_training=False).parts["train"]) == 18


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX systems")
def test_names_that_are_not_utf_8(folder: Path, tmp_path: Path) -> None:
    odd = os.fsencode(folder / "dog") + b"/\xe9.png"
    Path(os.fsdecode(odd)).write_bytes(encode(photo(9, 9, 5), "PNG"))
    packed(folder, tmp_path / "x.arrow")
    a, b = (prepare(DataConfig(source=str(s))) for s in (folder, tmp_path / "x.arrow"))
    assert a.fingerprint == b.fingerprint
    assert any("\udce9" in name for name in (*b.train.names, *b.val.names))


def test_a_link_that_leads_nowhere(folder: Path, tmp_path: Path) -> None:
    (folder / "dog" / "lost.png").symlink_to("nowhere.png")
    packed(folder, tmp_path / "x.arrow", max_bad_fraction=0.2)
    a, b = (
        prepare(DataConfig(source=str(s), max_bad_fraction=0.2))
        for s in (folder, tmp_path / "x.arrow")
    )
    assert a.fingerprint == b.fingerprint
    assert a.errors == b.errors
    assert "dog/lost.png" in [error.file for error in b.errors]


def test_the_digits_are_packed_as_pixels(tmp_path: Path) -> None:
    data = DataConfig(source="digits")
    summary = write_pack(data, tmp_path / "x.arrow")
    assert summary.header.encoding == "raw"
    a, b = (open_source(DataConfig(source=s)) for s in ("digits", str(tmp_path / "x.arrow")))
    assert (a.natural_size, a.mirror, a.classes) == (b.natural_size, b.mirror, b.classes)
    assert a.parts["train"].names == b.parts["train"].names
    np.testing.assert_array_equal(a.parts["train"].sizes, b.parts["train"].sizes)
    for i in range(0, 1797, 300):
        np.testing.assert_array_equal(a.parts["train"].read(i), b.parts["train"].read(i))
    with pytest.raises(UserError, match="pixels in memory or in a pack; take --encoding raw"):
        write_pack(data, tmp_path / "y.arrow", PackSettings(encoding="original"))


def test_raw_pixels_are_views_of_the_file(folder: Path, tmp_path: Path) -> None:
    packed(folder, tmp_path / "x.arrow", encoding="raw")
    source = open_source(DataConfig(source=str(tmp_path / "x.arrow")))
    part, files = source.parts["train"], open_source(DataConfig(source=str(folder))).parts["train"]
    assert isinstance(part, RawPackedPart)
    good = [i for i, name in enumerate(part.names) if "cut" not in name]
    for i in good:
        pixels = part.read(i)
        np.testing.assert_array_equal(pixels, files.read(i))
        assert not pixels.flags.owndata
        assert not pixels.flags.writeable
        # What asks for a file gets one.
        np.testing.assert_array_equal(decode(part.encoded(i)), pixels)
        assert part.sizes[i] == pixels.size
    with pytest.raises(DecodeError, match="PNG"):
        part.read(part.names.index("cat/cut.png"))
    dataset = prepare(DataConfig(source=str(tmp_path / "x.arrow")))
    assert [error.file for error in dataset.errors] == ["cat/cut.png"]
    assert_same_batches(folder, prepare(DataConfig(source=str(folder))).train, dataset.train)


def test_grey_pixels_have_one_channel(tmp_path: Path) -> None:
    root = digit_folder(tmp_path / "set", {"one": 1, "two": 2}, 6)
    packed(root, tmp_path / "x.arrow", encoding="raw")
    data = DataConfig(source=str(tmp_path / "x.arrow"), channels=(0,))
    dataset = prepare(data)
    assert dataset.train.read(0).shape == (8, 8, 1)
    rgb = prepare(DataConfig(source=str(tmp_path / "x.arrow"))).train.read(0)
    np.testing.assert_array_equal(rgb, np.repeat(dataset.train.read(0), 3, axis=2))


def test_a_pack_of_a_pack(folder: Path, tmp_path: Path) -> None:
    packed(folder, tmp_path / "a.arrow")
    packed(tmp_path / "a.arrow", tmp_path / "b.arrow", short_side=8)
    packed(folder, tmp_path / "c.arrow", short_side=8)
    a, b = (
        open_source(DataConfig(source=str(tmp_path / name))).parts["train"]
        for name in ("b.arrow", "c.arrow")
    )
    good = [i for i, name in enumerate(a.names) if "cut" not in name]
    for i in good:
        np.testing.assert_array_equal(a.read(i), b.read(i))
        assert min(a.read(i).shape[:2]) == 8
    packed(folder, tmp_path / "d.arrow", encoding="raw")
    packed(tmp_path / "d.arrow", tmp_path / "e.arrow")
    assert (tmp_path / "d.arrow").stat().st_size == (tmp_path / "e.arrow").stat().st_size


def test_plain_pyarrow_reads_it(folder: Path, tmp_path: Path) -> None:
    import pyarrow as pa

    packed(folder, tmp_path / "x.arrow", encoding="raw")
    with pa.memory_map(str(tmp_path / "x.arrow")) as file:
        table = pa.ipc.open_file(file).read_all()
    table.validate(full=True)
    assert table.num_rows == 18
    header = json.loads(table.schema.metadata[b"trickbag_pack"])
    assert header["classes"] == ["cat", "dog"]
    row = table.slice(0, 1).to_pylist()[0]
    assert row["part"] == "train"
    assert header["classes"][row["label"]] == row["name"].partition("/")[0]
    pixels = np.frombuffer(row["image"], np.uint8).reshape(row["height"], row["width"], -1)
    np.testing.assert_array_equal(pixels, decode(folder / row["name"]))
    errors = dict(zip(table["name"].to_pylist(), table["error"].to_pylist(), strict=True))
    assert [name for name, error in errors.items() if error] == ["cat/cut.png"]


def test_too_many_bad_images_end_it_and_it_goes_on(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.arrow"
    with pytest.raises(RunFailed, match=r"1 of 18 images .* bad, more than data\.max_bad_fraction"):
        packed(folder, out, max_bad_fraction=0.01)
    assert not out.exists()
    summary = packed(folder, out, max_bad_fraction=0.5)
    assert summary.continued == 12  # up to the chunk of the bad image, which is the tenth
    assert sum(summary.images.values()) == 18
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "x.arrow"]


def test_several_frames_are_noted_where_the_first_is_packed(tmp_path: Path) -> None:
    from PIL import Image

    root = photo_folder(tmp_path / "set", {"cat": 2, "dog": 2})
    first, second = (Image.fromarray(photo(9, 8, seed)) for seed in (1, 2))
    first.save(root / "cat" / "moves.gif", save_all=True, append_images=[second])
    (note,) = packed(root, tmp_path / "x.arrow", encoding="raw").late_notes
    assert note.reason == (
        "1 file has more than one page or frame; the first is packed, such as cat/moves.gif"
    )
    assert packed(root, tmp_path / "y.arrow").late_notes == ()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"encoding": "original", "short_side": 64}, "--short-side 64 changes them; leave one"),
    ({"quality": 80}, "--quality 80 is that of JPEGs that are written; add --encoding jpeg"),
    ({"encoding": "raw", "quality": 80}, "--quality 80"),
    ({"short_side": 4}, "from 8 to 16384"),
    ({"image_size": 64}, r"data\.image_size = 64 changes nothing in a pack"),
    ({"val_fraction": 0.3}, r"data\.val_fraction = 0\.3 .* give it to `trickbag train`"),
    ({"duplicates": "drop"}, r"data\.duplicates = 'drop' changes nothing"),
]


@pytest.mark.parametrize(("settings", "says"), WRONG, ids=[str(row[0]) for row in WRONG])
def test_settings_that_contradict(
    settings: dict[str, Any], says: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=says):
        packed(folder, tmp_path / "x.arrow", **settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_places_where_no_pack_can_be(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "there.arrow").write_text("precious")
    (tmp_path / "folder.arrow").mkdir()
    (tmp_path / "link.arrow").symlink_to("nowhere")
    for name, says in (
        ("there.arrow", "exists; choose another name"),
        ("link.arrow", "exists; choose another name"),
        ("folder.arrow", "is a folder"),
        ("absent/x.arrow", "there is no folder"),
        ("x.parquet", r"ends in \.arrow; such as x\.parquet\.arrow"),
    ):
        with pytest.raises(UserError, match=says):
            packed(folder, tmp_path / name)
    assert (tmp_path / "there.arrow").read_text() == "precious"


def test_a_disk_without_room(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(
        UserError, match=r"will have about 0\.0 GB, and the disk of .* 0\.0 GB free"
    ):
        packed(folder, tmp_path / "x.arrow")


def test_the_forecast_is_near(folder: Path, tmp_path: Path) -> None:
    for i, settings in enumerate(({}, {"short_side": 8}, {"encoding": "raw"})):
        out, forecast = tmp_path / f"{i}.arrow", []
        write_pack(
            DataConfig(source=str(folder)),
            out,
            PackSettings(**settings),
            on_start=lambda needed, _, forecast=forecast: forecast.append(needed),
        )
        # A row of so small images is mostly its other columns.
        assert 0.4 < forecast[0] / out.stat().st_size < 2.5


def test_two_calls_at_a_time(folder: Path, tmp_path: Path) -> None:
    def second(*_: Any) -> None:
        with pytest.raises(UserError, match=r"works in .*; wait for its end"):
            packed(folder, tmp_path / "x.arrow")

    write_pack(DataConfig(source=str(folder)), tmp_path / "x.arrow", on_start=second)
    assert (tmp_path / "x.arrow").exists()


def test_predictions_are_not_of_packs(folder: Path, tmp_path: Path) -> None:
    packed(folder, tmp_path / "x.arrow")
    with pytest.raises(UserError, match=r"x\.arrow is a pack .*`trickbag evaluate RUN --data "):
        find_inputs([str(tmp_path / "x.arrow")])


def test_boxes_and_masks_are_refused_by_what_packs_hold(tmp_path: Path) -> None:
    root = photo_folder(tmp_path / "set", {"cat": 2, "dog": 2})
    packed(root, tmp_path / "x.arrow")
    kinds: tuple[AnnotationKind, ...] = ("boxes", "masks")
    for kind in kinds:
        with pytest.raises(UserError, match=f"holds images with classes, and no {kind}"):
            open_annotated(DataConfig(source=str(tmp_path / "x.arrow")), kind)
    objects = {name: [("cat", (1.0, 1.0, 9.0, 9.0))] for name in ("a", "b")}
    voc_folder(tmp_path / "voc", {"train": ["a"], "val": ["b"]}, objects)
    with pytest.raises(UserError, match="with the boxes of objects, and a pack holds images with"):
        packed(tmp_path / "voc", tmp_path / "y.arrow")
    with pytest.raises(UserError, match="no image in its class folders"):
        packed(tmp_path / "voc" / "ImageSets", tmp_path / "y.arrow")
