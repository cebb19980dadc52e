"""Which folders of a tree are parts and which are classes, by their depth and their names.

Nothing is guessed where it would train on the wrong thing: what can be parts or classes alike is an
error, and what could be read otherwise is a fact that is noted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trickbag.data.parts_setting import as_setting
from trickbag.data.sources.folder.doubts import doubts, require_no_recurrence
from trickbag.data.sources.folder.given_parts import read_given_parts
from trickbag.data.sources.folder.part_folders import as_classes, part_folders, some
from trickbag.data.sources.folder.shape import Shape
from trickbag.data.sources.folder.tree import joined
from trickbag.data.sources.part_names import PART_WORDS, part_name
from trickbag.errors import UserError
from trickbag.text import composed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trickbag.data.sources.folder.tree import Tree

__all__ = ["Classes", "TreeLayout", "read_layout"]

Classes = dict[str, tuple[str, ...]]
"""The folders of each class, relative to the root; a class has the images in all of them."""


@dataclass(kw_only=True)
class TreeLayout:
    """The classes of each part.

    parts: by the name of the part, in the order train, val, test. folders: what a message names for
    each part, "" for the root. divided: whether folders gave the parts, and not the classes alone.
    passed: folders that lie alone in theirs, and were passed through. unlabelled: test folders
    without classes. facts: what else a person should know of how the tree was read.
    """

    parts: dict[str, Classes]
    folders: dict[str, str]
    divided: bool = False
    passed: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)


def read_layout(tree: Tree, given: Sequence[str] | None) -> TreeLayout:
    """Find the parts and the classes of a tree; `given` is the setting `data.parts`.

    Raises UserError where there is no class folder, and where folders could be parts or classes.
    """
    if given is not None:
        parts, folders = read_given_parts(tree, given)
        return TreeLayout(parts=parts, folders=folders, divided=True)
    layout = _Reader(tree, Shape(tree)).read("", frozenset(), is_part=False)
    if layout.passed:
        verb = "lies alone in its folder" if len(layout.passed) == 1 else "lie alone in theirs"
        layout.facts.insert(0, f"passed through, because {some(layout.passed, quoted=True)} {verb}")
    layout.facts = list(dict.fromkeys(layout.facts))
    return layout


@dataclass(frozen=True)
class _Reader:
    tree: Tree
    shape: Shape

    def read(self, folder: str, known: frozenset[str], *, is_part: bool) -> TreeLayout:
        """Read what lies in a folder, which may be that of a part.

        `known` are the classes of the training part, where it has been read.
        """
        passed: list[str] = []
        while True:
            names = self.tree.folder(folder).folders
            if names and known.issuperset(map(composed, names)):
                break
            single = self.shape.only_way(folder)
            # In a part, a folder that lies alone may have any name: `seg_train/seg_train`.
            if single is None or not is_part:
                chosen = part_folders(self.tree, self.shape, folder)
                if chosen:
                    layout = self._of_parts(folder, chosen)
                    layout.passed[:0] = passed
                    return layout
            if single is None:
                break
            passed.append(single)
            folder = single
        by_class = None if known else self._parts_within_classes(folder)
        layout = self._of_classes(folder, known) if by_class is None else by_class
        layout.passed[:0] = passed
        return layout

    def _of_parts(self, folder: str, chosen: Mapping[str, str]) -> TreeLayout:
        """Read the classes within the folders of the parts."""
        layout = TreeLayout(parts={}, folders={}, divided=True)
        known: frozenset[str] = frozenset()
        for part, name in chosen.items():
            place = joined(folder, name)
            if part == "test" and self.shape.has_no_classes(place, known):
                layout.unlabelled.append(place)
                layout.facts.append(
                    f"{place!r} has no class folders, so it has no labels and is not used"
                )
                continue
            if not self.tree.folder(place).folders:
                others = [(name, joined(folder, chosen[name])) for name in chosen if name != part]
                raise self._no_classes(place, folder, [] if part == "train" else others)
            inner = self.read(place, known, is_part=True)
            layout.passed += inner.passed
            layout.unlabelled += inner.unlabelled
            layout.facts += inner.facts
            if inner.divided:
                self._require_within_train(inner, folder, part, chosen)
                layout.parts |= inner.parts
                layout.folders |= inner.folders
            else:
                layout.parts[part] = inner.parts["train"]
                layout.folders[part] = place
            known = frozenset(layout.parts.get("train", ()))
        layout.parts = {part: layout.parts[part] for part in PART_WORDS if part in layout.parts}
        if not layout.parts:
            raise self._no_classes(layout.unlabelled[0], folder, [])
        self._note_others(layout, folder, chosen)
        return layout

    def _require_within_train(
        self, inner: TreeLayout, folder: str, part: str, chosen: Mapping[str, str]
    ) -> None:
        """Raise UserError for parts within a part, but for `train/{train,val}`."""
        clash = any(name != part and name in chosen for name in inner.parts)
        if part != "train" or "train" not in inner.parts or clash:
            place = joined(folder, chosen[part])
            meant = list(inner.folders.items())
            if "train" not in inner.folders:
                others = [name for name in ("train", part) if name in chosen]
                meant = [(name, joined(folder, chosen[name])) for name in dict.fromkeys(others)]
            raise UserError(
                f"data source {self.tree.spec!r}: within {place!r} lie folders of parts again: "
                f"{some(list(inner.folders.values()), quoted=True)}",
                f"name those that are meant, such as {as_setting(meant)}",
            )

    def _note_others(self, layout: TreeLayout, folder: str, chosen: Mapping[str, str]) -> None:
        """Note the folders beside the parts that are not used."""
        names = self.tree.folder(folder).folders
        unused = [name for name in names if name not in chosen.values()]
        if not unused:
            return
        first = joined(folder, chosen.get("train", next(iter(chosen.values()))))
        fact = f"not used, because beside {first!r}: {some(unused)}"
        if any(self.tree.images_in(joined(folder, name)) for name in unused):
            fact += f"; {as_classes(folder)} takes all of these folders as classes"
        layout.facts.append(fact)

    def _parts_within_classes(self, folder: str) -> TreeLayout | None:
        """Read `CLASS/train`, `CLASS/test`: parts within each class; None for another layout."""
        names = self.tree.folder(folder).folders
        parts: dict[str, Classes] = {}
        for name in names:
            place = joined(folder, name)
            if not self.shape.is_nested(place):
                return None
            for inner in self.shape.holders(place):
                part, images = part_name(inner), joined(place, inner)
                if part is None or part.rank == 2 or self.shape.is_nested(images):
                    return None
                classes = parts.setdefault(part.part, {})
                label = composed(name)
                classes[label] = (*classes.get(label, ()), images)
        if len(names) < 2 or len(parts) < 2 or "train" not in parts:
            return None
        fact = (
            "the parts are folders within the classes, such as "
            f"{next(iter(parts['train'].values()))[0]!r}; "
            f"{as_classes(folder)} takes all images of a class together"
        )
        return TreeLayout(
            parts={part: parts[part] for part in PART_WORDS if part in parts},
            folders={part: joined(folder, f"*/{part}") for part in parts},
            divided=True,
            facts=[fact],
        )

    def _of_classes(self, folder: str, known: frozenset[str]) -> TreeLayout:
        """Take the folders in a folder as the classes."""
        names = self.tree.folder(folder).folders
        if not names:
            raise self._no_classes(folder, folder, [])
        if not known:
            require_no_recurrence(self.tree, self.shape, folder)
        classes: Classes = {}
        for name in names:
            label = composed(name)
            classes[label] = (*classes.get(label, ()), joined(folder, name))
        return TreeLayout(
            parts={"train": classes},
            folders={"train": folder},
            facts=[] if known else doubts(self.shape, folder),
        )

    def _no_classes(self, place: str, folder: str, others: Sequence[tuple[str, str]]) -> UserError:
        """Report a folder without class folders; `others` are the parts beside it."""
        images = len(self.tree.folder(place).images)
        content = "no class folders"
        way_out = "images belong in CLASS/IMAGE"
        if images:
            content = f"{images} image{'s' * (images != 1)} but no class folders"
            if others:
                way_out += f"; {as_setting(others)} leaves it out"
            elif place != folder:
                way_out += f"; {as_classes(folder)} takes the folders themselves as classes"
        return UserError(
            f"data source {self.tree.spec!r}: {place or 'the folder'} has {content}", way_out
        )
