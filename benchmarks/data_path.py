"""Measure how fast training images are loaded, with the library TurboJPEG and without it.

python benchmarks/data_path.py FOLDER [SECONDS]   FOLDER: photos as JPEGs

This is `trickbag bench data` on a copy of the photos, twice in one process: as it is on a machine
that has the library (the extra `turbo`), and as on one that has not. The reference is measured with
each of them, in turns with it.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from trials import keep
from trickbag.bench.data import DataBench, bench_data
from trickbag.data.config import DataConfig
from trickbag.data.decoding import region, turbojpeg

IMAGE_SIZE = 224


def measure(source: Path, seconds: float) -> DataBench:
    return bench_data(DataConfig(source=str(source), image_size=IMAGE_SIZE), seconds=seconds)


def main(folder: Path, seconds: float) -> None:
    photos = sorted(file for file in folder.iterdir() if file.is_file())
    with tempfile.TemporaryDirectory() as work:
        source = Path(work) / "photos"
        for i, photo in enumerate(photos):
            # Two classes, as a source must have: which one an image has plays no role.
            place = source / ("a", "b")[i % 2]
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(photo, place / f"{photo.stem}.jpg")
        if turbojpeg.turbojpeg() is None:
            sys.exit("no library TurboJPEG 3: pip install 'trickbag[turbo]'")
        measured = [measure(source, seconds)]
        region.turbojpeg = lambda: None  # type: ignore[assignment]
        without = measure(source, seconds).to_dict() | {"region_decoding": False}
    runs = [measured[0].to_dict(), without]
    for run in runs:
        run["source"] = folder.name
        print(run["region_decoding"], {path["name"]: path["ratio"] for path in run["paths"]})
    size = sum(photo.stat().st_size for photo in photos) / len(photos) / 1000
    keep(
        "data_path",
        f"loading of {len(photos)} photos of ImageNet, {size:.0f} KB each in the mean: random "
        f"crops of {IMAGE_SIZE} px, mirrored",
        "benchmarks/data_path.py",
        data_paths=runs,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 60.0)
