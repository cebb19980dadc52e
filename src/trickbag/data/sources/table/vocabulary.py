"""The usual names of a table's columns, and what they stand for.

Names are compared without letter case, blanks, underscores and dashes: `Image Path` is `imagepath`.
"""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["Role", "flag_value", "flagged_part", "folded_name", "role_of"]

Role = Literal["image", "label", "split", "fold", "group", "other", ""]
"""What a column's name says; other: neither image nor label, "": nothing that is known."""

_ENTITIES = ("image", "img", "photo", "picture", "file")
_IMAGE = {
    *_ENTITIES,
    *(f"{entity}s" for entity in _ENTITIES),
    *(f"{entity}{what}" for entity in _ENTITIES for what in ("name", "path", "id", "index", "key")),
    *("imagefile", "imagefilename", "imagefilepath", "imgfile", "imagefileid", "imageidentifier"),
    *("filename", "filenames", "path", "paths", "fullpath", "relpath", "relativepath", "pathname"),
    *("id", "ids", "idcode", "uuid", "basename", "fname", "fpath"),
}
_LABEL = ("label", "labels")
_LABELS = {
    *_LABEL,
    *("class", "classes", "cls", "category", "categories", "target", "targets", "tag", "tags", "y"),
    *("classname", "classlabel", "classid", "labelname", "labelid", "categoryname", "categoryid"),
    *("targetname", "breed", "species", "diagnosis", "annotation", "annotations", "groundtruth"),
}
_WORDS = {"label", "labels", "class", "classes", "category", "target", "breed", "species", "tags"}
"""A name with one of these words among others may be that of the label: `finding_labels`."""

_SPLIT = {"split", "splits", "subset", "set", "partition", "part", "phase", "datasplit", "usage"}
_FLAGS = {
    **dict.fromkeys(("istrain", "istraining"), "train"),
    **dict.fromkeys(("isval", "isvalid", "isvalidation"), "val"),
    **dict.fromkeys(("istest", "istesting"), "test"),
}
"""Columns of true and false that say whether a row belongs to a part, such as `is_valid`."""
_TRUE, _FALSE = ("true", "1", "1.0", "yes", "t", "y"), ("false", "0", "0.0", "no", "f", "n")
_FOLD = {"fold", "folds", "kfold", "cvfold", "foldid", "foldnumber"}
_ENTITY = ("patient", "subject", "group", "case", "person", "individual", "participant")
_GROUP = {*_ENTITY, *(f"{entity}id" for entity in _ENTITY), *(f"{entity}s" for entity in _ENTITY)}
_OTHER = {"", "index", "unnamed", "width", "height", "imagewidth", "imageheight", "url", "md5"}
"""An empty name is that of pandas' row numbers, which become `Unnamed: 0` when read again, and
`__index_level_0__` in Parquet."""


def folded_name(name: str) -> str:
    """Return a column's name as it is compared."""
    return "".join(char for char in name.casefold() if char.isalnum())


def role_of(name: str) -> tuple[Role, int]:
    """Return what a column's name says, and how plainly: 0 is the plainest.

    `label` says label plainly (0), `class` less so (1), and `finding_labels` with a word alone (2).
    """
    folded = folded_name(name)
    if folded in _IMAGE:
        return "image", 0
    if folded in _LABELS:
        return "label", 0 if folded in _LABEL else 1
    groups: dict[Role, set[str]] = {
        "split": _SPLIT,
        "fold": _FOLD,
        "group": _GROUP,
        "other": _OTHER,
    }
    for role, names in groups.items():
        if folded in names:
            # `set` and `part` can mean anything; the values decide.
            return role, 0 if role != "split" or "split" in folded else 1
    if re.fullmatch(r"(unnamed|(index)?level)\d+", folded):
        return "other", 0
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    if _WORDS & {word.lower() for word in words}:
        return "label", 2
    return "", 0


def flagged_part(name: str) -> str | None:
    """Return the part to which the true rows of a column belong, None for any other column."""
    return _FLAGS.get(folded_name(name))


def flag_value(cell: str) -> bool | None:
    """Return whether a cell means true; None for what is neither true nor false, in any case."""
    word = cell.strip().lower()
    return word in _TRUE if word in (*_TRUE, *_FALSE) else None
