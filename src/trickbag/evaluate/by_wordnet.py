"""Images of ImageNet whose class is known by the WordNet id that their file's name begins with."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.passed_over import PassedOverFiles, Reason, accounting
from trickbag.data.source import FilePart, Source
from trickbag.data.sources import is_folder_source, open_source
from trickbag.data.sources.folder.tree import Tree, joined
from trickbag.data.sources.part_names import PART_WORDS, part_name
from trickbag.errors import Note, UserError
from trickbag.models.imagenet import wordnet_id
from trickbag.paths import expanded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.data.config import DataConfig

__all__ = ["open_by_wordnet"]

_NO_ID = Reason("without an id", "its name begins with no WordNet id, such as n01440764")


def open_by_wordnet(config: DataConfig, classes: Sequence[str]) -> Source:
    """List images for a network whose `classes` are WordNet ids.

    A folder whose classes are none of these, or that has no class folders, has the classes that the
    names of its files begin with: `n01440764_tench.JPEG`. A note says so. Any other source is
    listed as it is. Raises UserError as `open_source`.
    """
    source = error = None
    try:
        source = open_source(config, for_training=False)
    except UserError as raised:
        error = raised
    if source is not None and (
        set(source.classes) <= set(classes) or not is_folder_source(config.source)
    ):
        return source
    by_name = None
    if source is not None:
        by_name = _relabelled(source)
    elif is_folder_source(config.source):
        by_name = _listed(config)
    if by_name is None:
        if source is None:
            assert error is not None
            raise error
        return source
    reason = f"{config.source}: the class of an image is the WordNet id that its name begins with"
    return dataclasses.replace(by_name, notes=(*by_name.notes, Note("data", None, reason)))


def _relabelled(source: Source) -> Source | None:
    """Give the images of class folders the classes of their names; None unless all have one."""
    ids = {
        name: [wordnet_id(file.rpartition("/")[2]) for file in part.names]
        for name, part in source.parts.items()
    }
    names = {each for of_part in ids.values() for each in of_part}
    if None in names or not names:
        return None
    classes = tuple(sorted(each for each in names if each is not None))
    place = {name: i for i, name in enumerate(classes)}
    parts = {
        name: dataclasses.replace(
            part, labels=np.array([place[each] for each in ids[name] if each], np.int64)
        )
        for name, part in source.parts.items()
    }
    return dataclasses.replace(source, classes=classes, parts=parts)


def _listed(config: DataConfig) -> Source | None:
    """List the images in a folder and in those within; None if none has an id."""
    tree = Tree.at(expanded(config.source), config.source)
    passed_over = PassedOverFiles()
    files: dict[str, list[tuple[str, int, str]]] = {}
    for folder in tree.walk(""):
        tree.pass_over(folder, passed_over)
        listing = tree.folder(folder)
        for name, size in zip(listing.images, listing.sizes.tolist(), strict=True):
            file = joined(folder, name)
            each = wordnet_id(name)
            if each is None:
                passed_over.add(_NO_ID, [file])
            else:
                files.setdefault(_part_of(folder), []).append((file, size, each))
    if not files:
        return None
    classes = tuple(sorted({each for listed in files.values() for _, _, each in listed}))
    place = {name: i for i, name in enumerate(classes)}
    root = expanded(config.source)
    parts = {
        part: dataclasses.replace(
            FilePart.listed(root, [(file, size, place[each]) for file, size, each in files[part]]),
            max_pixels=config.max_pixels,
        )
        for part in PART_WORDS
        if part in files
    }
    records, notes = passed_over.records(), []
    if records:
        taken = sum(len(part) for part in parts.values())
        notes = [Note("data", None, f"{config.source}: {accounting(taken, records)}")]
    return Source(
        spec=config.source,
        classes=classes,
        parts=parts,
        passed_over=records,
        notes=tuple(notes),
    )


def _part_of(folder: str) -> str:
    """Return the part that a folder's first name means, `train` if it means none."""
    part = part_name(folder.partition("/")[0])
    return "train" if part is None else part.part
