"""Folders of images with annotations in JSON, in the form of COCO.

One file holds the images, the categories and the objects of a part.
"""

from __future__ import annotations

import json
import math
import os
import posixpath
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from trickbag.data.annotations.boxes.listed import BoxListing, ListedImage, ListedObject
from trickbag.data.annotations.boxes.voc_xml import LARGEST
from trickbag.data.source import DataError
from trickbag.data.sources.part_names import part_name, part_of
from trickbag.errors import UserError, shown
from trickbag.files import read_text
from trickbag.paths import FileKind, is_file, is_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["list_coco", "parse_coco"]

_JSON = FileKind("annotations in COCO's JSON", 2**31)
_ROBOFLOW = "_annotations.coco.json"
_SINGLE = (_ROBOFLOW, "annotations.json")
_PREFIX = "instances_"
_PROBED = 20
"""How many images tell which folder is theirs."""


class _File(NamedTuple):
    """A file of annotations: its part, its name relative to the source, folders of its images."""

    part: str
    name: str
    folders: tuple[str, ...]


def list_coco(folder: Path) -> BoxListing | None:
    """List the annotated images of a folder; None if it has no annotations in COCO's JSON.

    These are `annotations/instances_{train,val,test}*.json`, with folders of images named as they
    are, or `_annotations.coco.json` in the folder of each part. A single file without a part has
    all images. Raises UserError for a file that cannot be read, and for two files of a part.
    """
    files, passed_over = _files(folder)
    if not files:
        return None
    if twice := [part for part, n in Counter(file.part for file in files).items() if n > 1]:
        names = ", ".join(file.name for file in files if file.part == twice[0])
        raise UserError(
            f"data source {folder} has two files of annotations for {twice[0]}: {names}",
            "leave one of them there",
        )
    listing = BoxListing(root=folder, used={file.name for file in files})
    if passed_over:
        listing.notes.append(f"not read, as it names no part: {', '.join(passed_over)}")
    parsed = {file: parse_coco(_text(folder / file.name), folder / file.name) for file in files}
    _declare(parsed, listing)
    image_folders = []
    for file, content in parsed.items():
        image_folders.append(_image_folder(folder, file, content))
        listing.parts[file.part] = _CocoReader(
            file.name, image_folders[-1], content, listing
        ).images()
    listing.holds_images = lambda name: any(
        not each or name == each or name.startswith(f"{each}/") for each in image_folders
    )
    if "val" not in listing.parts and "test" in listing.parts:
        listing.parts["val"] = listing.parts.pop("test")
        listing.notes.append("there is no val part: the test part validates")
    return listing


def _files(folder: Path) -> tuple[list[_File], list[str]]:
    """Return the files of annotations, and those that are passed over as they name no part."""
    inside = folder / "annotations"
    names = sorted(os.listdir(inside)) if is_folder(inside) else []
    instances = [n for n in names if n.startswith(_PREFIX) and n.endswith(".json")]
    if instances:
        files = [file for name in instances if (file := _instances(name)) is not None]
        if not files and len(instances) == 1:
            return [_File("train", f"annotations/{instances[0]}", ("images", ""))], []
        used = {file.name for file in files}
        return files, [n for n in instances if f"annotations/{n}" not in used]
    files = []
    for name in sorted(os.listdir(folder)):
        meant = part_name(name)
        if meant and meant.rank < 2 and is_file(folder / name / _ROBOFLOW):
            files.append(_File(meant.part, f"{name}/{_ROBOFLOW}", (name,)))
    if not files:
        single = [name for name in _SINGLE if is_file(folder / name)][:1]
        files = [_File("train", name, ("", "images")) for name in single]
    return files, []


def _instances(name: str) -> _File | None:
    """Return the file `annotations/instances_train2017.json`, with the folders of its images."""
    title = name.removeprefix(_PREFIX).removesuffix(".json")
    part = part_of(title)
    if part is None:
        return None
    folders = (title, f"images/{title}", part, f"images/{part}", "images", "")
    return _File(part, f"annotations/{name}", folders)


def _text(path: Path) -> str:
    return read_text(path, _JSON) or ""


def parse_coco(text: str, place: object) -> dict[str, list[Any]]:
    """Return the lists `images`, `categories` and `annotations` of a file in COCO's form.

    Outlines are left out, which take most of the memory. Raises UserError for damaged JSON, for an
    object that has a key twice, and where a list is missing.
    """
    try:
        data = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        reason = f"line {error.lineno} is damaged: {error.msg}"
        raise UserError(f"cannot read {place}: {reason}") from None
    except _Repeated as error:
        raise UserError(f"cannot read {place}: an object has the key {error} twice") from None
    except (ValueError, RecursionError):
        # A number of thousands of digits, or thousands of brackets within each other.
        raise UserError(f"cannot read {place}: it is damaged: too long or too deep") from None
    content: dict[str, list[Any]] = {}
    for key in ("images", "categories", "annotations"):
        values = data.get(key) if isinstance(data, dict) else None
        if not isinstance(values, list):
            raise UserError(
                f"cannot read {place}: it has no list {key!r}",
                "a file in COCO's form has images, categories and annotations",
            )
        content[key] = values
    return content


class _Repeated(Exception):
    """Report a key that an object of JSON has twice; the text is the key."""


_DROPPED = frozenset({"segmentation", "keypoints", "counts"})


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise _Repeated(shown(next(key for key, count in counts.items() if count > 1)))
    for key in _DROPPED & values.keys():
        del values[key]
    return values


def _declare(parsed: dict[_File, dict[str, list[Any]]], listing: BoxListing) -> None:
    """Set the classes: the categories of all files, joined by their names."""
    names: set[str] = set()
    above: set[str] = set()
    used: set[str] = set()
    for file, content in parsed.items():
        of_id = _categories(content["categories"], file.name)
        names |= set(of_id.values())
        above |= {
            str(each["supercategory"]) for each in content["categories"] if "supercategory" in each
        }
        for each in content["annotations"]:
            if isinstance(each, dict) and _is_id(each.get("category_id")):
                used.add(of_id.get(each["category_id"], ""))
    # Some tools list what is above all categories as one of them, and no object has it.
    if unused := sorted((names - used) & above):
        listing.notes.append(
            f"no object has the category {', '.join(unused)}, which stands above others: it is no "
            "class"
        )
    listing.classes = tuple(sorted(names - set(unused)))
    listing.declared_in = "its list of categories"


def _categories(entries: list[Any], place: str) -> dict[Any, str]:
    """Return the name of each category by its id; UserError where that is not clear."""
    names: dict[Any, str] = {}
    for entry in entries:
        key, name = (entry.get("id"), entry.get("name")) if isinstance(entry, dict) else (None,) * 2
        if not _is_id(key) or not isinstance(name, str) or not name.strip():
            raise UserError(f"{place}: the category {shown(entry)} has no id and name")
        if names.setdefault(key, name.strip()) != name.strip():
            raise UserError(
                f"{place}: two categories have the id {key!r}: {names[key]!r} and {name!r}"
            )
    return names


def _is_id(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _image_folder(folder: Path, file: _File, content: dict[str, list[Any]]) -> str:
    """Return the folder of the images of a file: of those that may be, where most of them lie."""
    names = [
        name
        for entry in content["images"]
        if isinstance(entry, dict) and isinstance(name := entry.get("file_name"), str)
    ]
    probed = names[:: max(1, len(names) // _PROBED)]
    present = [each for each in file.folders if is_folder(folder / each)] or [""]
    hits = [sum(_is_there(folder / each / name) for name in probed) for each in present]
    return present[hits.index(max(hits))]


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


class _CocoReader:
    """Reads the images of one file, and adds what cannot be used to the listing."""

    def __init__(
        self, file: str, folder: str, content: dict[str, list[Any]], listing: BoxListing
    ) -> None:
        self._file, self._folder, self._content, self._listing = file, folder, content, listing
        self._names = _categories(content["categories"], file)

    def images(self) -> list[ListedImage]:
        """Return the images in the order of the file."""
        entries = list(self._entries())
        objects = self._objects({key for key, _, _ in entries})
        return [
            ListedImage(path, self._file, size, tuple(objects.get(key, ())))
            for key, path, size in entries
        ]

    def _entries(self) -> Iterator[tuple[Any, str, tuple[int, int] | None]]:
        """Yield id, path and size of each image that can be told from the others."""
        keys = Counter(
            key
            for entry in self._content["images"]
            if isinstance(entry, dict) and _is_id(key := entry.get("id"))
        )
        paths: dict[str, Any] = {}
        for number, entry in enumerate(self._content["images"], 1):
            name = entry.get("file_name") if isinstance(entry, dict) else None
            if not isinstance(name, str) or not name.strip() or "\0" in name:
                self._leave_out(self._file, f"image {number} has no file_name")
                continue
            key, path = entry.get("id"), _normal(self._folder, name)
            if not _is_id(key):
                self._leave_out(path, f"{self._file} gives it no id")
            elif keys[key] > 1:
                self._leave_out(path, f"its id {key!r} is that of {keys[key]} images")
            elif path in paths:
                self._leave_out(path, f"listed twice, with the ids {paths[path]!r} and {key!r}")
            else:
                paths[path] = key
                yield key, path, _size(entry)

    def _objects(self, keys: set[Any]) -> dict[Any, list[ListedObject]]:
        """Return the objects by the id of their image; those of no image are named."""
        objects: dict[Any, list[ListedObject]] = defaultdict(list)
        known = {
            key
            for entry in self._content["images"]
            if isinstance(entry, dict) and _is_id(key := entry.get("id"))
        }
        seen: set[tuple[Any, ...]] = set()
        for number, entry in enumerate(self._content["annotations"], 1):
            if not isinstance(entry, dict):
                self._object_error(f"annotation {number} is no object of JSON")
                continue
            place = f"annotation {shown(entry['id'])}" if _is_id(entry.get("id")) else ""
            place = place or f"annotation number {number}"
            key, category = entry.get("image_id"), entry.get("category_id")
            if not _is_id(key) or key not in known:
                self._object_error(f"{place}: no image has its image_id {shown(key)}")
                continue
            if not _is_id(category) or category not in self._names:
                text = f"has the category_id {shown(category)}, which no category has"
                objects[key].append(ListedObject(place, "", text))
                continue
            box = _box(entry.get("bbox"))
            same = (entry.get("id"), key, category, box)
            if _is_id(entry.get("id")) and same in seen:
                box = "is there twice"
            seen.add(same)
            difficult = bool(entry.get("iscrowd")) or bool(entry.get("ignore"))
            objects[key].append(ListedObject(place, self._names[category], box, difficult))
        return {key: listed for key, listed in objects.items() if key in keys}

    def _leave_out(self, file: str, reason: str) -> None:
        self._listing.left_out.append(DataError(file, reason))

    def _object_error(self, reason: str) -> None:
        self._listing.object_errors.append(DataError(self._file, reason))


def _normal(folder: str, name: str) -> str:
    """Return the path of an image relative to the source; an absolute one stays as it is."""
    return posixpath.normpath(posixpath.join(folder, name.strip().replace("\\", "/")))


def _size(entry: dict[str, Any]) -> tuple[int, int] | None:
    height, width = _number(entry.get("height")), _number(entry.get("width"))
    if height is None or width is None or height < 1 or width < 1:
        return None
    return int(height), int(width)


def _number(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > LARGEST:
        return None
    return float(value) if math.isfinite(value) else None


def _box(value: Any) -> tuple[float, ...] | str:
    """Return the box (left, top, right, bottom) of COCO's (x, y, width, height), or the problem."""
    if not isinstance(value, list) or len(value) != 4 or any(_number(v) is None for v in value):
        return f"has no bbox of four numbers: {shown(value)}"
    left, top, width, height = (float(v) for v in value)
    if width <= 0 or height <= 0:
        return f"has no area: bbox {shown(value)}"
    return left, top, left + width, top + height
