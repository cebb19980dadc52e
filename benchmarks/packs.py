"""Measure the size of packs, and how long one core writes them.

python benchmarks/packs.py --data FOLDER           a folder of class folders, or of images alone

Each encoding is written in a process of its own, with one worker, in turns. `cpu_s` is the time of
the processor for `write_pack`, without the import of the package; `seconds` is that of the clock.
For the forecast of the size 24 images are written once more, but for the original bytes: a sixth of
the 150 images that were measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from trials import ROOT, keep
from trickbag.data.decoding.formats import EXTENSIONS

ENCODINGS: dict[str, dict[str, Any]] = {
    "original": {},
    "jpeg, short side 256": {"short_side": 256},
    "raw, short side 256": {"short_side": 256, "encoding": "raw"},
    "raw": {"encoding": "raw"},
}
REPETITIONS = 3

WRITE = """
import json, sys, time
from pathlib import Path
from trickbag.data.config import DataConfig
from trickbag.data.packing.pack import write_pack
from trickbag.data.packing.settings import PackSettings

settings = PackSettings(**json.loads(sys.argv[3]))
started, cpu = time.perf_counter(), time.process_time()
summary = write_pack(DataConfig(source=sys.argv[1]), Path(sys.argv[2]), settings, workers=1)
seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
print(sum(summary.images.values()), summary.bytes, summary.resized, seconds, cpu_s)
"""


def with_classes(folder: Path, root: Path) -> Path:
    """Return a folder of class folders; images that lie in none are put into two, as links."""
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)
    if not images:
        return folder
    for i, image in enumerate(images):
        place = root / f"class{i % 2}" / image.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(image.resolve())
    return root


def write(source: Path, out: Path, settings: dict[str, Any]) -> dict[str, float]:
    command = [sys.executable, "-c", WRITE, str(source), str(out), json.dumps(settings)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    out.unlink()
    names = ("images", "bytes", "resized", "seconds", "cpu_s")
    return dict(zip(names, map(float, output.split()), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in ENCODINGS}
    with tempfile.TemporaryDirectory() as temporary:
        source = with_classes(folder, Path(temporary) / "images")
        for _ in range(REPETITIONS):
            for name, settings in ENCODINGS.items():
                row = write(source, Path(temporary) / "pack.arrow", settings)
                measured[name].append(row)
                print(f"{name}: {row['bytes'] / row['images']:,.0f} bytes an image", row)
    packs = []
    for name, rows in measured.items():
        images, size, resized = (int(rows[0][key]) for key in ("images", "bytes", "resized"))
        packs.append(
            {
                "encoding": name,
                "images": images,
                "resized": resized,
                "bytes": size,
                "bytes_per_image": round(size / images),
                "seconds": [row["seconds"] for row in rows],
                "cpu_s": [row["cpu_s"] for row in rows],
                "images_per_cpu_s": images / median(row["cpu_s"] for row in rows),
            }
        )
    what = f"{packs[0]['images']:,} images of {folder.name} as packs, one worker"
    keep("packs", what, "benchmarks/packs.py", packs=packs)


if __name__ == "__main__":
    main()
