"""Entries of shards as samples: the image and the label of each key."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from trickbag.data.decoding.formats import EXTENSIONS
from trickbag.data.sources.samples import label_text_of
from trickbag.data.sources.table.vocabulary import role_of
from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trickbag.data.sources.webdataset.tar_index import Entry

__all__ = [
    "LABEL_KINDS",
    "LabelError",
    "Reader",
    "Sample",
    "group_reader_of",
    "image_kind_of",
    "label_reader_of",
    "samples_of",
    "split_name",
]

LABEL_KINDS = ("cls", "json", "txt")
"""The kinds of entries that can hold a label, in the order in which they are looked for."""

_LOOKED_AT = 100
"""The entries of JSON that are looked at for a key of the label."""

_NAMED = 8
"""The most kinds and keys that a message names."""

_JSON_KEYS = ("label", "class_name", "class", "cls", "target", "category")


class Sample(NamedTuple):
    """The entries of a key, by their kind, the extension in lower case without its dot."""

    key: str
    entries: dict[str, Entry]


Reader = Callable[[Sample], str]
"""Returns a text of a sample, empty where it has none; raises LabelError."""


class LabelError(ValueError):
    """Report a label that cannot be read; its text is the reason in a few words."""


def split_name(name: str) -> tuple[str, str]:
    """Divide the name of an entry into key and kind, at the first dot behind its folder."""
    folder, separator, file = name.rpartition("/")
    key, _, kind = file.partition(".")
    return f"{folder}{separator}{key}", kind.lower()


def samples_of(entries: Iterable[Entry]) -> tuple[list[Sample], list[Entry]]:
    """Group the entries of a shard by key, in order of their first; return repeated ones beside.

    Of entries with the same name the last counts, as for programs that unpack a tar file.
    """
    samples: dict[str, Sample] = {}
    repeated = []
    for entry in entries:
        key, kind = split_name(entry.name)
        sample = samples.setdefault(key, Sample(key, {}))
        if kind in sample.entries:
            repeated.append(sample.entries[kind])
        sample.entries[kind] = entry
    return list(samples.values()), repeated


def image_kind_of(
    samples: Sequence[Sample], given: str | None, spec: str, *, strict: bool = True
) -> Callable[[Sample], str | None]:
    """Return a function that names the kind of a sample's image; None if it has none.

    Kinds of images are the extensions of images alone (`jpg`), or if no entry has such a one, those
    that end in one (`image.jpg`). Raises UserError if a sample has several, or if it is `strict`
    and no entry is of the given kind.
    """
    counts = _kinds(samples)
    wanted = (given or "").lower().removeprefix(".")
    if given is not None and wanted in counts:
        return lambda sample: wanted if wanted in sample.entries else None
    if given is not None and strict:
        raise _unclear(spec, counts, (), f"no entry .{wanted}", "data.image_column")
    kinds = {kind for kind in counts if f".{kind}" in EXTENSIONS}
    kinds = kinds or {kind for kind in counts if os.path.splitext(kind)[1] in EXTENSIONS}
    for sample in samples:
        images = sorted(kinds & sample.entries.keys())
        if len(images) > 1:
            have = f"more than one image in the sample {sample.key}: {', '.join(images)}"
            raise _unclear(spec, counts, (), have, "data.image_column")
    return lambda sample: next((kind for kind in sample.entries if kind in kinds), None)


def label_reader_of(
    samples: Sequence[Sample], given: str | None, spec: str, *, strict: bool = True
) -> tuple[Reader, str]:
    """Return a function that reads a sample's label as text, and the name of what it reads.

    The label is the content of `.cls`, a value of `.json`, or the content of `.txt`: the first of
    them that any sample has. `given` is the kind of the entry with the label, or a key of `.json`;
    unless it is `strict`, it may be missing. The function returns an empty text where there is no
    label, and raises LabelError. Raises UserError if there are no labels.
    """
    counts, keys = _kinds(samples), _json_keys(samples)
    if given is not None and (reader := _reader(given, counts, keys)):
        return reader
    if given is not None and strict:
        raise _unclear(spec, counts, keys, f"no label {given!r}", "data.label_column")
    for kind in LABEL_KINDS:
        if kind != "json" and kind in counts:
            return partial(_text, kind=kind), f".{kind}"
        key = next((key for key in _JSON_KEYS if key in keys), None)
        if kind == "json" and key is not None:
            return partial(_json_value, key=key), f"{key!r} of .json"
    raise _unclear(spec, counts, keys, "no label in .cls, .json or .txt", "data.label_column")


def group_reader_of(
    samples: Sequence[Sample], given: str | None, spec: str, *, strict: bool = True
) -> tuple[Reader | None, str | None]:
    """Return a function that reads a sample's group, if one is given, and a fact if one is not.

    `given` and `strict` are as in `label_reader_of`, with the same errors.
    """
    counts, keys = _kinds(samples), _json_keys(samples)
    if given is not None:
        reader = _reader(given, counts, keys)
        if reader is None and strict:
            raise _unclear(spec, counts, keys, f"no group {given!r}", "data.group_column")
        return (None if reader is None else reader[0]), None
    name = next((name for name in sorted(keys) if role_of(name)[0] == "group"), None)
    if name is None:
        return None, None
    return None, (
        f"{name!r} of .json is not used; where images of one {name!r} belong together: "
        f"--set data.group_column={name}"
    )


def _kinds(samples: Iterable[Sample]) -> Counter[str]:
    return Counter(kind for sample in samples for kind in sample.entries)


def _reader(name: str, counts: Counter[str], keys: set[str]) -> tuple[Reader, str] | None:
    """Return what reads the entries of a kind, or a value of `.json`; None if there is neither."""
    kind = name.lower().removeprefix(".")
    if kind in counts:
        return partial(_text, kind=kind), f".{kind}"
    if name in keys:
        return partial(_json_value, key=name), f"{name!r} of .json"
    return None


def _json_keys(samples: Iterable[Sample]) -> set[str]:
    """Return the keys of the first readable entries of JSON."""
    keys: set[str] = set()
    with_json = (sample for sample in samples if "json" in sample.entries)
    for sample in islice(with_json, _LOOKED_AT):
        with contextlib.suppress(LabelError):
            keys.update(_json(sample))
    return keys


def _json_value(sample: Sample, key: str) -> str:
    if "json" not in sample.entries:
        return ""
    try:
        return label_text_of(_json(sample).get(key))
    except TypeError as error:
        raise LabelError(f"{key!r} of its .json: {error}") from None


def _json(sample: Sample) -> dict[str, object]:
    try:
        data = json.loads(_text(sample, "json"))
    except (ValueError, RecursionError):
        raise LabelError("its .json is damaged") from None
    if not isinstance(data, dict):
        raise LabelError("its .json is no object")
    return data


def _text(sample: Sample, kind: str) -> str:
    entry = sample.entries.get(kind)
    if entry is None:
        return ""
    if entry.text is None:
        raise LabelError(f"its .{kind} of {entry.size:,} bytes is too large for a label")
    return entry.text.strip()


def _unclear(
    spec: str, counts: Counter[str], keys: Iterable[str], have: str, setting: str
) -> UserError:
    kinds = ", ".join(f".{kind} ({count})" for kind, count in counts.most_common(_NAMED))
    values = ", ".join(sorted(keys)[:_NAMED])
    in_json = f", and .json has {values}" if values else ""
    return UserError(
        f"data source {spec!r} has {have}; its entries are {kinds}{in_json}",
        f"choose with --set {setting}=NAME",
    )
