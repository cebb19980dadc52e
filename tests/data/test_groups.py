"""Groups of images, such as those of a patient: held back whole, noted where they are divided."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.builders.images import photo_folder
from trickbag.data.config import DataConfig
from trickbag.data.dataset import fingerprint
from trickbag.data.groups import group_numbers, groups_in_several_parts, share_notes
from trickbag.data.held_back import divide
from trickbag.data.source import ArrayPart, Source
from trickbag.data.sources import open_source
from trickbag.errors import UserError


def part_of(groups: Sequence[str], labels: Sequence[int] | None = None) -> ArrayPart:
    """Make a part of images that all differ."""
    images = np.arange(len(groups), dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8)
    part = ArrayPart.of(images, np.array(labels or [i % 2 for i in range(len(groups))]), "p")
    return dataclasses.replace(part, groups=tuple(groups))


def divided(groups: Sequence[str], digests: Sequence[str] = (), **settings: object) -> tuple:
    """Return the groups of training and of validation, and the notes."""
    part = part_of(groups)
    source = Source(spec="x", classes=("a", "b"), parts={"train": part})
    names = {"train": digests or [f"{i}" for i in range(len(part))]}
    division = divide(DataConfig(**settings), source, names)  # type: ignore[arg-type]
    rows = (division.rows[name].places for name in ("train", "val"))
    return *(part.subset(places) for places in rows), [note.text for note in division.notes]


@pytest.mark.parametrize(
    ("groups", "digests", "numbers"),
    [
        ("aabbc", "", [0, 0, 2, 2, 4]),
        ("abcde", "vwxyz", None),
        ("abcde", "vwxyv", [0, 1, 2, 3, 0]),
        # A copy joins two groups.
        ("aabbc", "vwxvz", [0, 0, 0, 0, 4]),
        # Through two copies, in any order.
        ("abcde", "vwvwz", [0, 1, 0, 1, 4]),
        ("abab", "", [0, 1, 0, 1]),
        # No group, and no digest, join nothing.
        (["", "", "a"], ["", "", ""], None),
        (["", "", "a", "a"], "", [0, 1, 2, 2]),
        ("", "vvw", [0, 0, 2]),
        ("", "", None),
    ],
)
def test_numbers(groups: Sequence[str], digests: Sequence[str], numbers: list[int] | None) -> None:
    result = group_numbers(groups, digests)
    assert (None if result is None else result.tolist()) == numbers


def test_groups_are_held_back_whole() -> None:
    groups = [f"patient {i // 3}" for i in range(60)]
    for seed in range(5):
        train, val, notes = divided(groups, split_seed=seed)
        assert not set(train.groups) & set(val.groups)
        assert (len(train), len(val)) == (48, 12)
        assert notes == ["the images of a group stay together (data.group_column): 20 groups"]


def test_a_copy_keeps_two_groups_together() -> None:
    groups = [f"patient {i // 3}" for i in range(30)]
    digests = [f"{i}" for i in range(30)]
    digests[29] = digests[0]
    for seed in range(8):
        train, val, notes = divided(groups, digests, split_seed=seed)
        for part in (train, val):
            assert len({"patient 0", "patient 9"} & set(part.groups)) != 1
        assert "stay together" in notes[1]


@given(
    rows=st.lists(st.tuples(st.sampled_from(["", *"abcdef"]), st.integers(0, 30)), min_size=2),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**40),
)
@settings(deadline=None, max_examples=25)
def test_neither_groups_nor_copies_are_divided(
    rows: list[tuple[str, int]], fraction: float, seed: int
) -> None:
    groups, copies = [group for group, _ in rows], [f"{copy}" for _, copy in rows]
    assume(len(set(groups)) > 1)
    chosen = {"split_seed": seed, "val_fraction": fraction}
    train, val, _ = divided(groups, copies, **chosen)
    of = dict(zip(part_of(groups).names, copies, strict=True))
    assert not {of[name] for name in train.names} & {of[name] for name in val.names}
    assert not (set(train.groups) & set(val.groups)) - {""}
    assert len(train)
    assert len(train) + len(val) == len(rows)
    assert divided(groups, copies, **chosen)[1].names == val.names


def test_copies_can_join_all_groups() -> None:
    train, val, _ = divided(["a", "a", "b", "b"], ["x", "y", "x", "z"])
    assert (len(train), len(val)) == (4, 0)


def test_images_without_a_group_are_counted() -> None:
    _, _, notes = divided(["a"] * 6 + ["b"] * 6 + ["c"] * 6 + [""] * 12)
    assert notes[0] == (
        "the images of a group stay together (data.group_column): 3 groups; 12 images have no group"
    )


def test_each_image_its_own_group_is_a_note_and_no_other_split() -> None:
    train, val, notes = divided([f"{i}" for i in range(40)])
    assert notes == [
        "data.group_column: each image is a group of its own (40 groups), so that the column keeps "
        "none together"
    ]
    assert val.names == divided([""] * 40)[1].names
    assert len(train) == 32


def test_one_group_is_an_error() -> None:
    with pytest.raises(UserError, match="all images are of one group, 'p1'") as caught:
        divided(["p1"] * 10)
    assert "data.group_column" in caught.value.reason
    assert "validation part" in caught.value.way_out


def test_a_share_that_is_not_the_one_that_was_set_is_said() -> None:
    train, val, notes = divided(["a"] * 20 + ["b"] * 20)
    assert (len(train), len(val)) == (20, 20)
    assert notes[1] == (
        "50 % of the images are held back, not 20 % (data.val_fraction): groups and copies stay "
        "together"
    )
    assert share_notes(80, 20, 0.2) == share_notes(78, 22, 0.2) == []
    assert share_notes(70, 30, 0.2)


def test_a_group_in_several_parts_is_said() -> None:
    parts = {
        "train": part_of(["p1", "p2", "p3", ""]),
        "val": part_of(["p2", "p4", ""]),
        "test": part_of(["p1", "p2"]),
    }
    assert groups_in_several_parts(parts) == {
        "p1": ("train", "test"),
        "p2": ("train", "val", "test"),
    }
    source = Source(spec="x", classes=("a", "b"), parts=parts)
    digests = {name: [""] * len(part) for name, part in parts.items()}
    (note,) = divide(DataConfig(), source, digests).notes
    assert note.text == (
        "2 groups lie in more than one part (p1 in train and test, p2 in train and val and test): "
        "metrics on them are too good (data.group_column)"
    )


def test_groups_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    source = open_source(DataConfig(source=str(photo_folder(tmp_path, {"a": 2, "b": 2}))))
    prints = {
        fingerprint(source.classes, {"train": dataclasses.replace(part, groups=groups)})
        for part in (source.parts["train"],)
        for groups in ((), ("x", "x", "y", "y"), ("x", "y", "y", "y"))
    }
    assert len(prints) == 3
