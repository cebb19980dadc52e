"""The networks whose robustness and stability are measured, and their evaluation by the command.

The records of the command are kept in runs/benchmarks, so that a script that is called again goes
on where it was stopped.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import calibration
from trials import ROOT, measured_by
from trickbag.files import write_json

RUNS = ROOT / "runs" / "benchmarks"


@dataclass(frozen=True)
class Network:
    """A network: its arguments of `trickbag evaluate`, and how tables call it."""

    name: str
    title: str
    arguments: tuple[str, ...]


def networks(data: Path, names: Sequence[str]) -> Iterator[Network]:
    """Yield the networks of these names, by default all; say which are left out."""
    if not names or "digits" in names:
        yield _of_run("digits", (), "`small` on the digits")
    photos, images = data / "imagenette-128", data / "imagenet-sample-150"
    for number in (0, 2):
        if names and f"lite{number}" not in names:
            continue
        weights = data / f"tf_efficientnet_lite{number}.safetensors"
        if not weights.is_file() or not images.is_dir():
            print(f"left out: {weights} or {images} is not there", file=sys.stderr)
            continue
        arguments = (f"timm:tf_efficientnet_lite{number}", "--init", str(weights))
        yield Network(
            f"lite{number}", f"EfficientNet-Lite {number}", (*arguments, "--data", str(images))
        )
    if names and "imagenette" not in names:
        return
    if photos.is_dir():
        arguments = ("--data", str(photos), *calibration.PHOTOS)
        title = "`small` on Imagenette, 32 px, 5 epochs"
        yield _of_run("imagenette", arguments, title)
    else:
        print(f"left out: {photos} is not there", file=sys.stderr)


def _of_run(name: str, arguments: tuple[str, ...], title: str) -> Network:
    """Return the run of seed 0 of benchmarks/calibration.py, which is trained if need be."""
    folder = "imagenette-128" if name == "imagenette" else name
    calibration.train(folder, arguments, 0)
    # By its place in the checkout, in which the command runs: the records of another know it too.
    run = (RUNS / "calibration" / f"{folder}-0").relative_to(ROOT)
    return Network(name, title, (str(run),))


def note_texts(record: dict[str, Any]) -> list[str]:
    """Return the notes of a record, without the folders above its data: those of a machine."""
    data = Path(record["data"])
    return [note["reason"].replace(str(data), data.name) for note in record["notes"]]


def evaluated(
    benchmark: str, network: Network, *options: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the command prints as JSON, and its commit and environment.

    The command is called unless it was with these options.
    """
    file = RUNS / benchmark / f"{network.name}.json"
    command = ["evaluate", *network.arguments, *options, "--device", "cpu", "--json"]
    if file.exists():
        known: dict[str, Any] = json.loads(file.read_text())
        if known["command"] == command:
            return known["printed"], known["measured"]
    measured = measured_by()
    out = subprocess.run(
        [sys.executable, "-m", "trickbag", *command],
        check=True,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    printed = json.loads(out)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"command": command, "measured": measured, "printed": printed})
    return printed, measured
