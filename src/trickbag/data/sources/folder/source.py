"""Folder trees as sources: `CLASS/*` or `train/CLASS/*`, and other layouts; see `layout`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from trickbag.data.passed_over import PassedOverFiles, Reason, reason_of
from trickbag.data.source import DataError, FilePart, PassedOver, Source
from trickbag.data.sources.folder.layout import read_layout
from trickbag.data.sources.folder.listing_cache import open_tree
from trickbag.data.sources.folder.part_folders import some
from trickbag.data.sources.folder.tree import joined
from trickbag.data.sources.outside import OUTSIDE, is_beyond
from trickbag.errors import Note, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from trickbag.data.sources.folder.layout import Classes, TreeLayout
    from trickbag.data.sources.folder.tree import Tree

__all__ = ["open_folder"]

_NO_CLASS = Reason("outside of classes", "lies in no class folder: images belong in CLASS/IMAGE")
_NO_PART = Reason("beside the parts", "lies in a folder that is none of the parts", True)
_NO_LABEL = Reason("without labels", "lies in a test folder without class folders", True)
_LINK = Reason("link", "a link to a folder that is no class folder", True)


def open_folder(
    root: Path,
    spec: str,
    *,
    outside: Literal["read", "refuse"] = "read",
    parts: Sequence[str] | None = None,
    cache_dir: Path | None = None,
    fresh: bool = False,
    strict: bool = True,
) -> Source:
    """List a folder tree; the classes are the names of the class folders, in order.

    Files count as images by their extension, those without one by their first bytes; also in
    folders within a class folder. Which folders are parts is read by depth and names, see
    `read_layout`, unless `parts` names them as the setting `data.parts` does. A test folder without
    class folders has no labels and is not used. Images `outside` of the tree, to which links lead,
    are left out with `refuse`. The listing of a large tree is kept in `cache_dir`, and taken from
    there unless it is to be `fresh`; see `open_tree`.

    Raises UserError if there is no class, a folder that cannot be read, or where folders could be
    parts or classes; if it is `strict` also for an empty class, which is else left out and noted.
    """
    opened = open_tree(root, spec, cache_dir, fresh=fresh)
    tree = opened.tree
    layout = read_layout(tree, parts)
    passed_over, facts = _passed_over(tree, layout)
    if not strict:
        facts = [*facts, *_without_empty_classes(tree, layout)]
    _require_images(tree, layout)
    classes = tuple(sorted({name for names in layout.parts.values() for name in names}))
    left_out: list[DataError] = []
    place = {name: i for i, name in enumerate(classes)}
    listed = {
        part: _part(tree, names, place, left_out if outside == "refuse" else None)
        for part, names in layout.parts.items()
    }
    notes = [Note("data", None, f"{spec}: {fact}") for fact in (*layout.facts, *facts)]
    return Source(
        spec=spec,
        classes=classes,
        parts=listed,
        left_out=tuple(left_out),
        passed_over=passed_over,
        notes=(*notes, *opened.keep()),
    )


def _without_empty_classes(tree: Tree, layout: TreeLayout) -> list[str]:
    """Leave classes without an image out of a layout, and parts without a class; say which."""
    empty = {
        (part, label): folders[0]
        for part, classes in layout.parts.items()
        for label, folders in classes.items()
        if not any(tree.images_in(folder) for folder in folders)
    }
    filled = {
        part: {label: folders for label, folders in classes.items() if (part, label) not in empty}
        for part, classes in layout.parts.items()
    }
    if not empty or not any(filled.values()):
        return []
    layout.parts = {part: classes for part, classes in filled.items() if classes}
    return [f"no image in {some(list(empty.values()))}"]


def _require_images(tree: Tree, layout: TreeLayout) -> None:
    """Raise UserError if a part has not one image of each of its classes."""
    for part, classes in layout.parts.items():
        empty = [
            folders[0]
            for folders in classes.values()
            if not any(tree.images_in(folder) for folder in folders)
        ]
        if len(empty) == len(classes):
            place = layout.folders[part] or "its class folders"
            raise UserError(
                f"data source {tree.spec!r} has no image in {place}{_instead(tree, empty)}"
            )
        if empty:
            raise UserError(
                f"data source {tree.spec!r}: no image in {some(empty)}{_instead(tree, empty)}",
                "add images or remove the folder",
            )


def _instead(tree: Tree, folders: Iterable[str]) -> str:
    """Say what lies in folders without an image: `, but 3 .heic`."""
    counts: dict[str, int] = {}
    for folder in folders:
        for inner in tree.walk(folder):
            for name in tree.folder(inner).others:
                kind = reason_of(name).kind
                counts[kind] = counts.get(kind, 0) + 1
    kinds = [f"{counts[kind]:,} {kind}" for kind in sorted(counts, key=lambda kind: -counts[kind])]
    return f", but {some(kinds)}" if kinds else ""


def _part(
    tree: Tree, classes: Classes, place: dict[str, int], beyond: list[DataError] | None
) -> FilePart:
    """List the images of a part, by class and name; put those outside of the tree into `beyond`."""
    names: list[str] = []
    sizes: list[NDArray[np.int64]] = []
    counts: list[int] = []
    for label in sorted(classes):
        before = len(names)
        class_names, class_sizes = _images(tree, classes[label], beyond)
        names += class_names
        sizes.append(class_sizes)
        counts.append(len(names) - before)
    labels = np.array([place[label] for label in sorted(classes)], np.int64)
    return FilePart(
        names=tuple(names),
        labels=np.repeat(labels, counts),
        sizes=np.concatenate(sizes) if sizes else np.zeros(0, np.int64),
        root=tree.root,
    )


def _images(
    tree: Tree, folders: Sequence[str], beyond: list[DataError] | None
) -> tuple[list[str], NDArray[np.int64]]:
    """Return names and sizes of the images of a class, in the order of the names."""
    inner = [each for folder in folders for each in tree.walk(folder)]
    names: list[str] = []
    for folder in inner:
        names += [f"{folder}/{name}" for name in tree.folder(folder).images]
    sizes = np.concatenate([tree.folder(folder).sizes for folder in inner])
    if len(inner) > 1:
        order = sorted(range(len(names)), key=names.__getitem__)
        names, sizes = [names[i] for i in order], sizes[order]
    if beyond is not None:
        outside = _outside(tree, inner)
        beyond += [DataError(name, OUTSIDE) for name in names if name in outside]
        kept = [i for i, name in enumerate(names) if name not in outside]
        names, sizes = [names[i] for i in kept], sizes[kept]
    return names, sizes


def _outside(tree: Tree, folders: Iterable[str]) -> set[str]:
    """Return the images in folders to which links lead out of the tree."""
    outside: set[str] = set()
    for folder in folders:
        listing = tree.folder(folder)
        all_out = _is_outside(tree, folder)
        # Only links lead out of a folder that lies within.
        outside.update(
            place
            for name in listing.images
            if (all_out or name in listing.links)
            and _is_outside(tree, place := joined(folder, name))
        )
    return outside


def _is_outside(tree: Tree, name: str) -> bool:
    return is_beyond(Path(tree.path(name)), Path(tree.root))


def _passed_over(tree: Tree, layout: TreeLayout) -> tuple[tuple[PassedOver, ...], list[str]]:
    """Return what lies in the tree and is not taken, and what is to be said of it."""
    taken = {
        inner
        for classes in layout.parts.values()
        for folders in classes.values()
        for folder in folders
        for inner in tree.walk(folder)
    }
    above = _folders_above(layout)
    files, facts = PassedOverFiles(), []
    # Links are followed on the way to the classes and within them, and nowhere else.
    seen: set[str] = set(taken)
    links: set[str] = set()
    for top in sorted({*above, *layout.unlabelled}):
        folders, more = tree.walk_without_links(top)
        seen.update(folders)
        links.update(more)
    for folder in sorted(seen):
        listing = tree.folder(folder)
        tree.pass_over(folder, files)
        if folder not in taken and listing.images:
            images = [joined(folder, name) for name in listing.images]
            if folder in above:
                facts.append(_loose(folder, len(images)))
                files.add(_NO_CLASS, images)
            else:
                files.add(_reason(folder, layout), images)
    files.add(_LINK, [link for link in links - seen if link not in above])
    return files.records(), facts


def _folders_above(layout: TreeLayout) -> set[str]:
    """Return the folders that class folders lie in, up to the root."""
    above = {""}
    for classes in layout.parts.values():
        for folders in classes.values():
            for folder in folders:
                # Thousands of classes have the same folders above them.
                while (folder := folder.rpartition("/")[0]) not in above:
                    above.add(folder)
    return above


def _loose(folder: str, count: int) -> str:
    images = "1 image" if count == 1 else f"{count} images"
    place = f" in {folder!r}" if folder else ""
    verb = "is" if count == 1 else "are"
    return f"{images}{place} outside of any class folder {verb} not used"


def _reason(folder: str, layout: TreeLayout) -> Reason:
    if any(f"{folder}/".startswith(f"{test}/") for test in layout.unlabelled):
        return _NO_LABEL
    return _NO_PART if layout.divided else _NO_CLASS
