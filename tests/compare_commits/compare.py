"""Compare what two commits left: weights bit for bit, numbers by their text, times left aside."""

from __future__ import annotations

import csv
import fnmatch
import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

__all__ = ["Comparison"]

TIMES = frozenset(
    {
        *("time_s", "train_time_s", "run_time_s", "seconds", "epoch_s"),
        *("train_throughput", "infer_throughput", "peak_memory"),
        *("cost", "environment"),
    }
)
"""Keys of JSON objects whose values are measured: left aside at any depth."""

SCHEMA = "schema"
"""A key that says in what form a file is written, at any depth."""

PLACES = frozenset({"version", "command", "run"})
"""Keys of the outermost object: who wrote a file, how it was called, where a run lies."""

RENAMED: dict[str, str] = {"reads": "repeats"}
"""Keys that have another name after than before, on purpose; their values are compared."""

NEW_NOTES = frozenset({"calibration"})
"""Kinds of notes that are new after, on purpose: where only after has them, they are let be."""

VERSIONS = ("head_version",)
"""Keys of what a trial's id is a hash of, with which a run is another one on purpose."""

SUMS = frozenset({"checksum"})
"""Keys of the record in weights: it sums up the record too, which may have new keys."""

SETTLED = {
    "data": ("image_size", "workers"),
    "training": ("batch_size", "device", "precision", "compile", "threads"),
}
"""Settings that the plan in `recipe.json` has at its top, and now in its parts too, where they were
open before (`auto`, null): the values at the top are compared."""

MEASURED_COLUMNS = ("train_throughput*", "infer_throughput*", "peak_memory*", "train_time_s*")
"""Columns of effects.csv, which has costs beside the effects."""

UNREAD = (
    "report.html",
    "compared.html",
    "environment.json",
    "events.out.tfevents.*",
    "done.json",
    "log.txt",
    ".*",
)
"""Files that hold times, addresses or prose; the pages have to be there."""

NEED_NOT_BE = ("events.out.tfevents.*", ".*")
"""Files whose names hold times, or that are there while a run lasts."""


@dataclass
class Comparison:
    """Counts what was compared, and keeps what differs: `what, where: the two values`."""

    tensors: int = 0
    lines: int = 0
    differences: list[str] = field(default_factory=list)

    def folders(self, before: Path, after: Path) -> None:
        """Compare every file of the one folder with that of the other, which may have more."""
        for file in sorted(path for path in before.rglob("*") if path.is_file()):
            name = file.relative_to(before)
            if not (after / name).is_file():
                if not _matches(file.name, NEED_NOT_BE):
                    self.differences.append(f"{name}: there before, absent after")
            elif not _matches(file.name, UNREAD):
                self._file(str(name), file, after / name)

    def _file(self, name: str, before: Path, after: Path) -> None:
        """Compare two files by what their name says they are."""
        compare = next(way for pattern, way in _WAYS if fnmatch.fnmatch(before.name, pattern))
        try:
            compare(self, name, before, after)
        except Exception as error:  # a file that cannot be read is a difference too
            self.differences.append(f"{name}: cannot be compared: {type(error).__name__}: {error}")

    def weights(self, name: str, before: Path, after: Path) -> None:
        """Compare two safetensors files: every tensor, and the metadata that the first has."""
        with safe_open(before, "pt") as first, safe_open(after, "pt") as second:
            files = (first, second)
            # A safetensors file is no mapping: `in` and iteration need its `keys`.
            pairs = [{key: f.get_tensor(key) for key in f.keys()} for f in files]  # noqa: SIM118
            texts = [_without_sums(_metadata(f.metadata() or {})) for f in files]
        self._tensors(name, *pairs)
        self.values(f"{name} metadata", *texts)

    def checkpoint(self, name: str, before: Path, after: Path) -> None:
        """Compare the tensors of network, average and optimizer in two checkpoints."""
        states = [torch.load(file, weights_only=True) for file in (before, after)]
        for part in ("network", "average", "optimizer"):
            first, second = (_flat(state.get(part) or {}) for state in states)
            self._tensors(f"{name} {part}", first, second)

    def _tensors(self, name: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Compare named tensors, bit for bit."""
        if before.keys() != after.keys():
            names = sorted(before.keys() ^ after.keys())
            self.differences.append(f"{name}: tensors of one side alone: {', '.join(names[:5])}")
        for key in sorted(before.keys() & after.keys()):
            self.tensors += 1
            first, second = before[key], after[key]
            if (first.dtype, first.shape) != (second.dtype, second.shape):
                forms = [f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in (first, second)]
                self.differences.append(f"{name} {key}: {forms[0]} before, {forms[1]} after")
            elif not torch.equal(_bits(first), _bits(second)):
                size = first.element_size()
                place = int((_bits(first) != _bits(second)).nonzero()[0]) // size
                values = [tensor.flatten()[place].item() for tensor in (first, second)]
                where = f"{name} {key}, element {place} of {first.numel()}"
                self.differences.append(f"{where}: {values[0]!r} before, {values[1]!r} after")

    def rows(self, name: str, before: Path, after: Path) -> None:
        """Compare JSON lines: one by one, those of trials in the order of their ids."""
        texts = [file.read_text(encoding="utf-8") for file in (before, after)]
        sides = [[json.loads(line) for line in text.splitlines()] for text in texts]
        for side in sides:
            if all("trial" in row for row in side):
                side.sort(key=lambda row: row["trial"])
        self.lines += len(sides[0])
        self.values(name, *sides)

    def data(self, name: str, before: Path, after: Path) -> None:
        """Compare JSON files."""
        self.lines += 1
        texts = [file.read_text(encoding="utf-8") for file in (before, after)]
        sides = [json.loads(text) for text in texts]
        if before.name == "recipe.json":
            sides = [_without_settled(side) for side in sides]
        if before.name == "result.json" and _new_versions(before.parent, after.parent):
            sides = [{**side, "trial": None} for side in sides]
        self.values(name, *sides)

    def values(self, where: str, before: Any, after: Any, outermost: bool = True) -> None:
        """Compare plain data; keys that are new are let be, scalars have the same JSON text."""
        if isinstance(before, dict) and isinstance(after, dict):
            after = _without_new_notes(before, after)
            for key in before:
                if key in TIMES or key == SCHEMA or (outermost and key in PLACES):
                    continue
                new = key if key in after else RENAMED.get(key, key)
                if new not in after:
                    value = _text(before[key])
                    self.differences.append(f"{where}.{key}: {value} before, absent after")
                else:
                    self.values(f"{where}.{key}", before[key], after[new], False)
        elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
            for i, (first, second) in enumerate(zip(before, after, strict=True)):
                label = first.get("label", i) if isinstance(first, dict) else i
                self.values(f"{where}[{label}]", first, second, False)
        elif json.dumps(before) != json.dumps(after):
            self.differences.append(f"{where}: {_text(before)} before, {_text(after)} after")

    def table(self, name: str, before: Path, after: Path) -> None:
        """Compare CSV files of effects, by column."""
        sides = []
        for file in (before, after):
            with file.open(newline="", encoding="utf-8") as opened:
                sides.append(list(csv.DictReader(opened)))
        for row in sides[0]:
            for column in [name for name in row if _matches(name, MEASURED_COLUMNS)]:
                del row[column]
        self.lines += len(sides[0])
        self.values(name, *sides)

    def predictions(self, name: str, before: Path, after: Path) -> None:
        """Compare the predictions of a run; without confidences if only after calibrates them."""
        if _is_calibrated(before.parent) or not _is_calibrated(after.parent):
            self.bytes(name, before, after)
            return
        sides = []
        for file in (before, after):
            with file.open(newline="", encoding="utf-8") as opened:
                sides.append([{**row, "confidence": ""} for row in csv.DictReader(opened)])
        self.lines += len(sides[0])
        self.values(name, *sides)

    def bytes(self, name: str, before: Path, after: Path) -> None:
        """Compare files byte for byte; name the first line that differs."""
        first, second = (file.read_bytes().splitlines(keepends=True) for file in (before, after))
        self.lines += len(first)
        for number, (line, its) in enumerate(itertools.zip_longest(first, second), 1):
            if line != its:
                where = f"{name} line {number}"
                self.differences.append(f"{where}: {line!r} before, {its!r} after")
                break


_WAYS: tuple[tuple[str, Callable[[Comparison, str, Path, Path], None]], ...] = (
    ("*.safetensors", Comparison.weights),
    ("*.ckpt", Comparison.checkpoint),
    ("*.jsonl", Comparison.rows),
    ("*.json", Comparison.data),
    ("effects.csv", Comparison.table),
    ("predictions.csv", Comparison.predictions),
    ("*", Comparison.bytes),
)


def _without_sums(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of weights without what sums them up."""
    return {
        key: {name: value for name, value in record.items() if name not in SUMS}
        if isinstance(record, dict)
        else record
        for key, record in metadata.items()
    }


def _is_calibrated(run: Path) -> bool:
    """Tell whether the result of a run has a calibration, with whose temperature it predicts."""
    result = run / "result.json"
    if not result.is_file():
        return False
    return json.loads(result.read_text(encoding="utf-8")).get("calibration") is not None


def _new_versions(before: Path, after: Path) -> list[str]:
    """Return the keys of `VERSIONS` that the identity of a run has after alone."""
    recipes = [run / "recipe.json" for run in (before, after)]
    if not all(file.is_file() for file in recipes):
        return []
    old, new = (json.loads(file.read_text(encoding="utf-8")).get("trial") for file in recipes)
    return [key for key in VERSIONS if key in (new or {}) and key not in (old or {})]


def _without_new_notes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return a result without the notes of new kinds, and the warnings that are their texts."""
    old, new = before.get("notes"), after.get("notes")
    if not isinstance(old, list) or not isinstance(new, list) or "warnings" not in after:
        return after  # a recipe.json has texts
    kinds = {note.get("kind") for note in old}
    added = [n for n in new if n.get("kind") in NEW_NOTES and n.get("kind") not in kinds]
    if not added:
        return after
    texts = {note["reason"] for note in added}
    warnings = [text for text in after.get("warnings") or [] if text not in texts]
    return after | {"notes": [n for n in new if n not in added], "warnings": warnings}


def _without_settled(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the data of a recipe.json without the settings that the plan has at its top.

    `mirror` is left out too: where it is false, `flip_prob` is 0, which is compared.
    """
    plan = recipe.get("resolved")
    if not plan:
        return recipe
    parts = {
        part: {key: value for key, value in plan[part].items() if key not in keys}
        for part, keys in SETTLED.items()
    }
    return recipe | {"resolved": {key: plan[key] for key in plan if key != "mirror"} | parts}


def _metadata(texts: dict[str, str]) -> dict[str, Any]:
    """Read metadata whose values are JSON where they are."""
    read: dict[str, Any] = {}
    for key, text in texts.items():
        try:
            read[key] = json.loads(text)
        except ValueError:
            read[key] = text
    return read


def _flat(state: Any, path: str = "") -> dict[str, Any]:
    """Return the tensors within nested dicts and lists by their paths."""
    if isinstance(state, torch.Tensor):
        return {path: state}
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(state, dict):
        items = state.items()
    elif isinstance(state, list | tuple):
        items = enumerate(state)
    tensors: dict[str, Any] = {}
    for key, value in items:
        tensors |= _flat(value, f"{path}.{key}".lstrip("."))
    return tensors


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a name is one of those that the patterns stand for."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return the bytes of a tensor, so that NaN equals itself and -0.0 is not 0.0."""
    return tensor.contiguous().flatten().view(torch.uint8)


def _text(value: Any) -> str:
    """Return the JSON text of a value, cut where it is long."""
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
