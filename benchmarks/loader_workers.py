"""Measure how soon and how fast a loader gives batches: threads beside worker processes.

python benchmarks/loader_workers.py FOLDER [ROUNDS]   FOLDER: photos as JPEGs

Loaders take turns, round by round: of each the seconds from its making to its first batch are
measured, then those of an epoch whose workers are there. The process that takes the batches does
nothing else, as one that waits for a GPU. The photos count as checked, and the images are those of
`trickbag bench data`: files as they are, a pack of JPEGs and one of pixels.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from trials import keep
from trickbag.bench.packs import packed_jpeg, packed_raw
from trickbag.data.config import DataConfig, WorkerKind
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.source import FilePart, Part

IMAGE_SIZE, BATCH, REPEATS = 224, 25, 4
WAYS: tuple[tuple[WorkerKind | None, int], ...] = (
    (None, 0),
    ("threads", 1),
    ("processes", 1),
    ("threads", 2),
    ("processes", 2),
    ("threads", 4),
    ("processes", 4),
)
"""The kinds and numbers of workers."""


def measure(part: Part, kind: WorkerKind | None, workers: int) -> tuple[float, float]:
    """Return the seconds until the first batch, and those for each image of a later epoch."""
    data = DataConfig(source="unused", image_size=IMAGE_SIZE, worker_kind=kind)
    preprocessing = Preprocessing.of(data, IMAGE_SIZE)
    started = time.perf_counter()
    with Loader(
        part,
        data,
        preprocessing,
        train=True,
        batch_size=BATCH,
        workers=workers,
        repeats=REPEATS,
        # As networks in low precision take them.
        channels_last=True,
    ) as loader:
        batches = loader.epoch(0)
        next(batches)
        first_s = time.perf_counter() - started
        for _ in batches:
            pass
        started = time.perf_counter()
        images = sum(len(batch.index) for batch in loader.epoch(1))
        return first_s, (time.perf_counter() - started) / images


def main(folder: Path, rounds: int) -> None:
    files = [(file.name, file.stat().st_size, 0) for file in sorted(folder.iterdir())]
    photos = replace(FilePart.listed(folder, files), verified=True)
    parts = {
        "original": photos,
        "packed_jpeg": packed_jpeg(photos),
        "packed_raw": packed_raw(photos),
    }
    rows: list[dict[str, Any]] = []
    for name, part in parts.items():
        seconds: dict[tuple[WorkerKind | None, int], list[tuple[float, float]]] = {
            way: [] for way in WAYS
        }
        for number in range(rounds):
            for way in WAYS if number % 2 == 0 else WAYS[::-1]:
                seconds[way].append(measure(part, *way))
        for (kind, workers), measured in seconds.items():
            first_s, image_s = zip(*measured, strict=True)
            low, high = np.quantile(1 / np.array(image_s), (0.25, 0.75)).tolist()
            rows.append(
                {
                    "images": name,
                    "kind": kind,
                    "workers": workers,
                    "first_batch_s": median(first_s),
                    "images_per_s": 1 / median(image_s),
                    "images_per_s_quartiles": [low, high],
                    "rounds": rounds,
                }
            )
            print(rows[-1], flush=True)
    keep(
        "loader_workers",
        f"loading of {len(files)} photos, random crops of {IMAGE_SIZE} px, in batches of "
        f"{BATCH * REPEATS}, by threads and by processes",
        "benchmarks/loader_workers.py",
        loader_workers=rows,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 9)
