"""Altered files of a run: a command that reads one refuses it, or comes to the same."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from attacks.commands import Ended, fork, verdict_of
from attacks.images import mutate
from attacks.verdict import Tally

__all__ = ["attack_files", "unfinished_run"]

QUICK = (
    *("train", "--image-size", "16", "--batch-size", "32", "--device", "cpu"),
    *("--set", "data.workers=0", "--set", "training.threads=1", "--set", "model.width_factor=0.25"),
)
BINARY = ("last.ckpt", "best.safetensors")
TEXTS = ("recipe.json", "metrics.jsonl", "result.json", "predictions.csv")
"""Files without a checksum: a digit that has become another cannot be noticed."""

_VALUES: tuple[Any, ...] = (None, "x", -1, 1e308, [], {}, [[[[]]]], True, 10**30)


def unfinished_run(folder: Path, finished: bool) -> Path:
    """Train two epochs of digits; unless `finished`, take the result away, as of a killed run."""
    run = folder / ("finished" if finished else "unfinished")
    ended = fork([*QUICK, "--epochs", "2", "--out", str(run)], folder / "log", 300)
    if ended.code != 0:
        raise SystemExit(f"the run to attack failed: {ended.text}")
    if not finished:
        for name in ("result.json", "predictions.csv", "report.html"):
            (run / name).unlink(missing_ok=True)
    return run


def attack_files(tally: Tally, rng: np.random.Generator, tries: int, folder: Path) -> None:
    """Alter each file `tries` times in each way, and give the folder to the commands."""
    runs = {finished: unfinished_run(folder, finished) for finished in (False, True)}
    commands = {
        "resume": (False, lambda run: [*QUICK, "--epochs", "2", "--out", run, "--resume"]),
        "evaluate": (True, lambda run: ["evaluate", run, "--workers", "0", "--json"]),
        "report": (True, lambda run: ["report", run]),
    }
    for command, (finished, arguments) in commands.items():
        expected = _outcome(folder, runs[finished], command, arguments)[1]
        for name in (*BINARY, *TEXTS):
            if not (runs[finished] / name).exists():
                continue
            for case, alter in _alterations(runs[finished] / name, rng, tries):
                run = _copy(runs[finished], folder / "attacked")
                alter(run / name)
                ended, outcome = _outcome(folder, run, command, arguments, copied=True)
                verdict = verdict_of(ended, (0, 1, 2))
                if verdict == "as meant" and ended.code == 0:
                    other = outcome != expected and name in BINARY
                    noted = "note" in ended.text or "damaged" in ended.text
                    verdict = "silent" if other and not noted else "goes on"
                elif verdict == "as meant":
                    verdict = "refused"
                tally.add(f"{command}, {name}", case, verdict)


def _outcome(
    folder: Path, run: Path, command: str, arguments: Any, *, copied: bool = False
) -> tuple[Ended, Any]:
    """Run a command on a run, or on a copy of it; return how it ended, and what came out."""
    run = run if copied else _copy(run, folder / "attacked")
    ended = fork(arguments(str(run)), folder / "log")
    if command == "resume":
        weights = run / "best.safetensors"
        return ended, weights.read_bytes() if weights.is_file() else None
    if command == "evaluate" and ended.code == 0:
        try:
            data = json.loads(ended.text[ended.text.index("{") :])
        except ValueError:
            return ended, ended.text
        return ended, {key: data.get(key) for key in ("top1", "loss", "images")}
    return ended, None


def _copy(run: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(run, target)
    return target


def _alterations(file: Path, rng: np.random.Generator, tries: int) -> Iterator[tuple[str, Any]]:
    data = file.read_bytes()
    for _ in range(tries):
        case, mutated = mutate(data, rng)
        yield case, lambda path, content=mutated: path.write_bytes(content)
    yield "empty", lambda path: path.write_bytes(b"")
    yield "a folder", lambda path: (path.unlink(), path.mkdir())
    yield "a named pipe", lambda path: (path.unlink(), os.mkfifo(path))
    yield "a link to /dev/zero", lambda path: (path.unlink(), path.symlink_to("/dev/zero"))
    if file.suffix in (".json", ".jsonl"):
        for _ in range(tries):
            case, text = _altered_json(data.decode(), rng)
            yield case, lambda path, content=text: path.write_text(content)


def _altered_json(text: str, rng: np.random.Generator) -> tuple[str, str]:
    """Replace or remove one value of a JSON text, at any depth, or of one of its lines."""
    lines = text.splitlines() if text.count("\n{") else [text]
    place = int(rng.integers(len(lines)))
    document = json.loads(lines[place])
    parent, path = document, "line " + str(place + 1)
    while True:
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        key = keys[int(rng.integers(len(keys)))]
        path += f".{key}"
        inner = parent[key]
        if not (isinstance(inner, dict | list) and inner) or rng.random() < 0.3:
            break
        parent = inner
    if rng.random() < 0.3:
        del parent[key]
        path += " removed"
    else:
        parent[key] = _VALUES[int(rng.integers(len(_VALUES)))]
        path += f" = {str(parent[key])[:20]}"
    lines[place] = json.dumps(document)
    return path, "\n".join(lines) + "\n"
