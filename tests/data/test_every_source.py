"""One contract for the sources of every kind: a table of kinds, and tests that go over all of it.

A new kind of source is a row of `tests.builders.sources.KINDS`.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from tests.builders.images import encode, photo
from tests.builders.sources import KINDS, Item, SourceKind, drawn_items, reversed_listings
from trickbag.data.config import DataConfig
from trickbag.data.dataset import fingerprint, prepare, read_errors, write_errors
from trickbag.data.decoding.decode import decode
from trickbag.data.decoding.region import decode_box
from trickbag.data.doctor import diagnose
from trickbag.data.duplicates import copies_of
from trickbag.data.held_back import digests_of, pooled
from trickbag.data.source import ArrayPart, EncodedPart, Source
from trickbag.data.sources import open_source
from trickbag.errors import UserError

_LEFT_OPEN = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
"""Another library does not close all of its files."""


def over_all_kinds(
    applies: Callable[[SourceKind], bool] = lambda kind: True,
) -> pytest.MarkDecorator:
    """Run a test for each kind of source to which it applies."""
    rows = [
        pytest.param(kind, marks=(pytest.mark.slow, _LEFT_OPEN) if kind.slow else (), id=kind.name)
        for kind in KINDS
        if applies(kind)
    ]
    return pytest.mark.parametrize("kind", rows)


class Written:
    """The drawn images as a source of a kind, and the source as opened."""

    def __init__(self, kind: SourceKind, root: Path, items: list[Item], **settings: Any) -> None:
        self.kind, self.items = kind, kind.items(items)
        root.mkdir(parents=True, exist_ok=True)
        self.data = DataConfig(**kind.write(root, self.items), **settings)

    def open(self) -> Source:
        return open_source(self.data)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Written]:
    """The drawn images as a source of each kind, written when a test first wants it."""

    class Kinds(dict[str, Written]):
        def __missing__(self, name: str) -> Written:
            kind = next(kind for kind in KINDS if kind.name == name)
            root = tmp_path_factory.mktemp(name)
            self[name] = Written(kind, root, drawn_items())
            return self[name]

    return Kinds()


def parts(source: Source) -> dict[str, EncodedPart]:
    encoded = {}
    for name, part in source.parts.items():
        assert isinstance(part, EncodedPart)
        encoded[name] = part
    return encoded


def listed(source: Source) -> list[tuple[str, str, bytes]]:
    """Part, class and file of every image of a source."""
    return [
        (name, source.classes[part.labels[i]], part.encoded(i))
        for name, part in parts(source).items()
        for i in range(len(part))
    ]


@over_all_kinds()
def test_every_image_has_its_part_and_its_class(
    kind: SourceKind, drawn: dict[str, Written]
) -> None:
    written = drawn[kind.name]
    source = written.open()
    assert source.classes == ("cat", "dog")
    assert set(source.parts) == set(kind.parts)
    assert sorted(listed(source)) == sorted(
        (item.part, item.label, item.data) for item in written.items
    )
    assert source.left_out == ()
    assert source.passed_over == ()
    assert source.notes == ()


@over_all_kinds()
def test_names_and_sizes_are_those_of_the_files(
    kind: SourceKind, drawn: dict[str, Written], tmp_path: Path
) -> None:
    written = drawn[kind.name]
    by_data = {item.data: item for item in written.items}
    names = []
    for part in parts(written.open()).values():
        for i, name in enumerate(part.names):
            item = by_data[part.encoded(i)]
            assert part.sizes[i] == len(item.data)
            assert name.endswith(item.name) or not kind.named
            assert not name.startswith("/")
        names += part.names
    assert len(set(names)) == len(names) == len(written.items)


@over_all_kinds()
def test_the_listing_does_not_follow_the_order_of_the_file_system(
    kind: SourceKind, drawn: dict[str, Written], tmp_path: Path
) -> None:
    first = drawn[kind.name].open()
    again = Written(kind, tmp_path / "elsewhere", drawn_items())
    with reversed_listings():
        second = again.open()
    for name, part in first.parts.items():
        assert part.names == second.parts[name].names
        np.testing.assert_array_equal(part.labels, second.parts[name].labels)
    # Nor on where the source lies.
    assert fingerprint(first.classes, first.parts) == fingerprint(second.classes, second.parts)


@over_all_kinds()
def test_pixels_are_those_of_the_files(kind: SourceKind, drawn: dict[str, Written]) -> None:
    for part in parts(drawn[kind.name].open()).values():
        for i in range(len(part)):
            np.testing.assert_array_equal(part.read(i), decode(part.encoded(i)))


class Corner(NamedTuple):
    """A box of an image, and height and width that it was drawn for."""

    box: tuple[int, int, int, int]
    drawn_for: tuple[int, int]
    least: tuple[int, int] | None = None


@over_all_kinds()
@pytest.mark.parametrize("known", ["never decoded", "checked", "decoded before"])
def test_a_box_has_the_pixels_of_its_image(
    kind: SourceKind, drawn: dict[str, Written], known: str
) -> None:
    def draw(height: int, width: int) -> Corner:
        return Corner((width // 3, 1, width, max(2, height // 2)), (height, width))

    for part in parts(drawn[kind.name].open()).values():
        images = replace(part, verified=known == "checked")
        for i in range(len(part)):
            image = part.read(i)
            corner, pixels = images.read_box(i, draw, verified=known == "decoded before")
            assert corner.drawn_for == image.shape[:2]
            left, top, right, bottom = corner.box
            np.testing.assert_array_equal(pixels, image[top:bottom, left:right])


@over_all_kinds()
@pytest.mark.parametrize("known", ["never decoded", "checked", "decoded before"])
def test_a_box_that_becomes_smaller_is_that_of_the_file(
    kind: SourceKind, drawn: dict[str, Written], known: str
) -> None:
    def draw(height: int, width: int) -> Corner:
        return Corner((0, 0, width, height), (height, width), (height // 2, width // 2))

    for part in parts(drawn[kind.name].open()).values():
        images = replace(part, verified=known == "checked")
        for i in range(len(part)):
            _, pixels = images.read_box(i, draw, verified=known == "decoded before")
            _, expected = decode_box(part.encoded(i), draw, verified=True)
            np.testing.assert_array_equal(pixels, expected)


@over_all_kinds()
def test_a_part_of_a_part(kind: SourceKind, drawn: dict[str, Written]) -> None:
    part = parts(drawn[kind.name].open())["train"]
    rows = [4, 0, 2]
    chosen = part.subset(rows)
    again = chosen.subset([2, 1])
    for images, places in ((chosen, rows), (again, [2, 0])):
        assert images.names == tuple(part.names[row] for row in places)
        assert images.labels.tolist() == part.labels[places].tolist()
        assert images.sizes.tolist() == part.sizes[places].tolist()
        assert [images.encoded(i) for i in range(len(places))] == [
            part.encoded(row) for row in places
        ]
        assert [images.stamp(i) for i in range(len(places))] == [part.stamp(row) for row in places]


@over_all_kinds()
def test_training_and_validation_images_are_one_part_for_folds(
    kind: SourceKind, drawn: dict[str, Written]
) -> None:
    written = drawn[kind.name]
    listing = parts(written.open())
    if "val" not in listing:
        pytest.skip("a source of one part")
    pool = pooled(written.open()).parts["train"]
    assert isinstance(pool, EncodedPart)
    both = [listing["train"], listing["val"]]
    places = [(part, i) for part in both for i in range(len(part))]
    rows = [len(pool) - 1, 0, 2]
    for images, chosen in ((pool, range(len(pool))), (pool.subset(rows), rows)):
        assert images.names == tuple(places[row][0].names[places[row][1]] for row in chosen)
        for i, row in enumerate(chosen):
            part, place = places[row]
            assert images.labels[i] == part.labels[place]
            assert images.encoded(i) == part.encoded(place)
            assert images.stamp(i) == part.stamp(place)
            np.testing.assert_array_equal(images.read(i), part.read(place))


@over_all_kinds()
def test_each_image_is_in_one_fold(kind: SourceKind, drawn: dict[str, Written]) -> None:
    written = drawn[kind.name]
    plain = prepare(written.data)
    test = None if plain.test is None else plain.test.names
    everything = sorted([*plain.train.names, *plain.val.names])
    validated: list[str] = []
    for fold in range(2):
        dataset = prepare(replace(written.data, folds=2, fold=fold))
        assert sorted([*dataset.train.names, *dataset.val.names]) == everything
        assert (None if dataset.test is None else dataset.test.names) == test
        assert dataset.fingerprint == plain.fingerprint
        assert len(dataset.val_shapes) == len(dataset.val)
        validated += dataset.val.names
    assert sorted(validated) == everything


@over_all_kinds()
def test_a_part_travels_without_its_images(kind: SourceKind, drawn: dict[str, Written]) -> None:
    part = parts(drawn[kind.name].open())["train"]
    pickled = pickle.dumps(part, pickle.HIGHEST_PROTOCOL)
    arrived = pickle.loads(pickled)
    for i in range(len(part)):
        data = part.encoded(i)
        assert arrived.encoded(i) == data
        assert data not in pickled


@over_all_kinds()
def test_images_are_known_again_by_their_stamps(
    kind: SourceKind, drawn: dict[str, Written]
) -> None:
    written = drawn[kind.name]
    stamps = [part.stamp(i) for part in parts(written.open()).values() for i in range(len(part))]
    assert len(set(stamps)) == len(written.items)
    assert None not in stamps
    assert stamps == [
        part.stamp(i) for part in parts(written.open()).values() for i in range(len(part))
    ]


@over_all_kinds()
def test_damaged_images_are_named_and_left_out(kind: SourceKind, tmp_path: Path) -> None:
    good = drawn_items()
    cut = encode(photo(14, 10, 90), "PNG")[:-30]
    bad = [
        Item("train", "cat", "cut.png", cut),
        Item("train", "dog", "text.jpg", b"no image"),
        Item("train", "dog", "empty.png", b""),
        Item("train", "dog", "large.png", encode(photo(40, 30, 91), "PNG")),
    ]
    written = Written(kind, tmp_path, [*good, *bad], max_bad_fraction=0.9, max_pixels=1000)
    dataset = prepare(written.data)
    reasons = {error.file: error.reason for error in dataset.errors}
    assert len(reasons) == 4
    assert sum(map(len, filter(None, (dataset.train, dataset.val, dataset.test)))) == len(good)
    for start in ("truncated PNG", "not an image", "empty file", "40 x 30 pixels by its header"):
        (name,) = (name for name, reason in reasons.items() if reason.startswith(start))
        assert not kind.named or name.endswith(("cut.png", "text.jpg", "empty.png", "large.png"))


@over_all_kinds()
def test_copies_are_known_and_can_be_dropped(kind: SourceKind, tmp_path: Path) -> None:
    good = drawn_items()
    first = {(item.part, item.label): item for item in reversed(good)}
    copies = [
        first["val", "cat"]._replace(part="train", name="leak.png"),
        first["train", "dog"]._replace(name="again.png"),
        first["train", "cat"]._replace(label="dog", name="both.png"),
    ]
    written = Written(kind, tmp_path / "set", [*good, *copies])
    cache = tmp_path / "cache"
    across = {"parts" if "val" in kind.parts else "nothing", "classes", "nothing"}
    diagnosis = diagnose(written.data, cache_dir=cache)
    assert {name for images in diagnosis.copies for name in images.across} == across
    assert [len(images.files) for images in diagnosis.copies] == [2, 2, 2]
    noted = prepare(written.data, cache_dir=cache)
    assert sum(note.text.startswith("copies: ") for note in noted.notes) == len(across)
    assert not noted.errors
    dropped = prepare(replace(written.data, duplicates="drop"), cache_dir=cache)
    assert len(dropped.errors) == 4  # both of those in two classes
    if kind.named:
        assert {error.file.rpartition("/")[2] for error in dropped.errors} >= {"both.png"}


@over_all_kinds()
def test_the_check_remembers_what_it_has_read(
    kind: SourceKind, drawn: dict[str, Written], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trickbag.data.decoding import check

    first = prepare(drawn[kind.name].data, cache_dir=tmp_path)

    def refuse(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(check, "_check_file", refuse)
    second = prepare(drawn[kind.name].data, cache_dir=tmp_path)
    assert second.fingerprint == first.fingerprint
    assert second.train.names == first.train.names


@over_all_kinds()
def test_a_class_has_one_spelling(kind: SourceKind, tmp_path: Path) -> None:
    labels = ("cafe\u0301", "caf\u00e9", "Cat", "cat", "cat")
    items = [
        Item("train", label, f"{i}.png", encode(photo(8, 8, i), "PNG"))
        for i, label in enumerate(labels)
    ]
    written = Written(kind, tmp_path / "source", items)
    source = written.open()
    assert source.classes == ("Cat", "caf\u00e9", "cat")
    assert np.bincount(source.parts["train"].labels).tolist() == [1, 2, 2]
    (note,) = (note.text for note in source.notes if "merge_labels" in note.text)
    assert "'Cat' (1 image) and 'cat' (2 images); --set data.merge_labels=true merges" in note
    merged = open_source(replace(written.data, merge_labels=True))
    assert merged.classes == ("caf\u00e9", "cat")
    assert np.bincount(merged.parts["train"].labels).tolist() == [2, 3]


@over_all_kinds()
def test_images_of_one_class_are_evaluated(kind: SourceKind, tmp_path: Path) -> None:
    items = [item for item in drawn_items() if item.label == "dog"]
    written = Written(kind, tmp_path, items)
    with pytest.raises(UserError, match="one class only, 'dog'"):
        written.open()
    source = open_source(written.data, for_training=False)
    assert source.classes == ("dog",)
    assert sum(map(len, source.parts.values())) == len(items)


@over_all_kinds(lambda kind: kind.unlabelled)
def test_images_without_a_label_are_accounted_for(kind: SourceKind, tmp_path: Path) -> None:
    bare = Item("train", "", "bare.png", encode(photo(14, 10, 80), "PNG"))
    missing = Item("train", "NaN", "missing.png", encode(photo(14, 10, 81), "PNG"))
    declared = kind.name in ("hf parquet", "hf saved")
    unlabelled = [bare] if declared else [bare, missing]
    items = [*drawn_items(), *unlabelled]
    written = Written(kind, tmp_path / "set", items, max_bad_fraction=0.5)
    source = written.open()
    assert source.classes == ("cat", "dog")
    assert sum(map(len, source.parts.values())) == len(written.items) - len(unlabelled)
    names = [error.file for error in source.left_out]
    names += [file for record in source.passed_over for file in record.files]
    assert len(names) == len(unlabelled)
    reasons = [error.reason for error in source.left_out]
    reasons += [record.reason for record in source.passed_over]
    assert all("no label" in reason for reason in reasons)
    if kind.named:
        assert sorted(name.rpartition("/")[2] for name in names) == ["bare.png", "missing.png"]
    # A person may have meant them: they are named with the files that are left out.
    dataset = prepare(written.data)
    write_errors(dataset.errors, tmp_path / "errors.csv", dataset.passed_over)
    assert {error.file for error in read_errors(tmp_path / "errors.csv") or ()} == set(names)


@over_all_kinds(lambda kind: kind.groups)
def test_groups_are_those_of_the_rows(kind: SourceKind, tmp_path: Path) -> None:
    items = [item._replace(group=f"p{i % 4}") for i, item in enumerate(drawn_items(count=6))]
    items[3] = items[3]._replace(group="")
    written = Written(kind, tmp_path, items, group_column="patient")
    by_data = {item.data: item.group for item in written.items}
    for part in parts(written.open()).values():
        expected = [by_data[part.encoded(i)] for i in range(len(part))]
        assert list(part.groups) == expected
        assert list(part.subset([1, 0]).groups) == expected[1::-1]
    if "val" not in kind.parts:
        dataset = prepare(written.data)
        assert set(dataset.train.groups) & set(dataset.val.groups) <= {""}


@over_all_kinds()
def test_a_validation_part_of_another_source(kind: SourceKind, tmp_path: Path) -> None:
    items = drawn_items()
    train = [item for item in items if item.part == "train"]
    val = [item._replace(part="train") for item in items if item.part == "val"]
    first, second = Written(kind, tmp_path / "a", train), Written(kind, tmp_path / "b", val)
    if kind.name == "torchvision":
        pytest.skip("its folder is a setting that both sources would share")
    source = open_source(replace(first.data, val_source=second.data.source))
    assert sorted(listed(source)) == sorted(
        [(item.part, item.label, item.data) for item in train]
        + [("val", item.label, item.data) for item in val]
    )


@pytest.mark.slow
@over_all_kinds(lambda kind: kind.name in ("hf parquet", "wds", "arrow"))
def test_workers_read_the_same(kind: SourceKind, drawn: dict[str, Written]) -> None:
    from trickbag.data.loading.loader import Loader
    from trickbag.data.loading.preprocess import Preprocessing

    data = drawn[kind.name].data
    part = drawn[kind.name].open().parts["train"]
    here, there = (
        Loader(part, data, Preprocessing.of(data, 8), train=True, batch_size=3, workers=workers)
        for workers in (0, 1)
    )
    with there:
        for first, second in zip(here.epoch(0), there.epoch(0), strict=True):
            np.testing.assert_array_equal(first.images, second.images)
            assert second.valid.all()


@over_all_kinds()
def test_deep_pixels_have_one_scale(kind: SourceKind, tmp_path: Path) -> None:
    def deep(seed: int) -> bytes:
        grey = np.random.default_rng(seed).integers(0, 3000, (6, 8)).astype(np.uint16)
        grey[0, :2] = 0, 3000
        return encode(grey, "PNG")

    items = [item._replace(data=deep(i)) for i, item in enumerate(drawn_items())]
    dataset = prepare(Written(kind, tmp_path, items).data)
    assert dataset.train.pixels.range_of("uint16") == (0, 4095)
    for part in filter(None, (dataset.train, dataset.val, dataset.test)):
        assert isinstance(part, EncodedPart)
        for i in range(len(part)):
            values = np.asarray(Image.open(io.BytesIO(part.encoded(i))), np.float64)
            expected = np.rint(values * (255 / 4095))
            assert np.abs(part.read(i).mean(axis=2) - expected).max() <= 1


def test_the_digits_in_memory() -> None:
    # No files, so that they are no row of the table; what can hold of them does.
    data = DataConfig(source="digits")
    source, again = open_source(data), open_source(data)
    assert fingerprint(source.classes, source.parts) == fingerprint(again.classes, again.parts)
    assert list(source.classes) == sorted(source.classes)
    part = source.parts["train"]
    assert isinstance(part, ArrayPart)
    assert len(set(part.names)) == len(part)
    chosen = pickle.loads(pickle.dumps(part.subset([4, 0])))
    assert chosen.names == (part.names[4], part.names[0])
    np.testing.assert_array_equal(chosen.read(1), part.read(0))
    twice = {"train": replace(part.subset([0, 1]), rows=part.rows[[7, 7]])}
    (copies,) = copies_of(twice, digests_of(twice, None))
    assert copies.files == part.names[:2]
