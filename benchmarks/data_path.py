"""Measure how fast training images are loaded, with the library TurboJPEG and without it.

python benchmarks/data_path.py FOLDER [SECONDS]                  FOLDER: photos as JPEGs
python benchmarks/data_path.py FOLDER [SECONDS] --long-side PX   larger photos, made so large

This is `trickbag bench data` on a copy of the photos, several times in one process: as it is on a
machine that has the library (the extra `turbo`), and as on one that has not. The reference is
measured with each of them, in turns with it. With `--long-side` each photo is scaled down to that
length (Pillow, Lanczos, JPEG of quality 90; those that are smaller are left out), and measured with
`data.dct_scaling` too.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trials import keep
from trickbag.bench.data import bench_data
from trickbag.data.config import DataConfig
from trickbag.data.decoding import region, turbojpeg
from trickbag.data.loading.crops import TrainingCrop, draw_crop
from trickbag.data.sources import open_source
from trickbag.streams import stream

IMAGE_SIZE = 224
QUALITY = 90
EPOCHS = 3


def measure(data: DataConfig, folder: Path, seconds: float, *, region_decoding: bool) -> Any:
    original = region.turbojpeg
    if not region_decoding:
        region.turbojpeg = lambda: None  # type: ignore[assignment]
    try:
        run = bench_data(data, seconds=seconds).to_dict()
    finally:
        region.turbojpeg = original
    run |= {"region_decoding": region_decoding, "source": folder.name}
    print(region_decoding, data.dct_scaling, {p["name"]: p["ratio"] for p in run["paths"]})
    return run


def copy_photos(folder: Path, source: Path, long_side: int | None) -> list[Path]:
    """Copy photos into two classes, as a source must have: which one an image has plays no role."""
    copies: list[Path] = []
    for photo in sorted(file for file in folder.rglob("*") if file.is_file()):
        place = source / ("a", "b")[len(copies) % 2] / f"{len(copies):04}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        if long_side is None:
            shutil.copy(photo, place)
        else:
            with Image.open(photo) as opened:
                image = opened.convert("RGB")
            factor = long_side / max(image.size)
            if factor > 1:
                continue
            size = (round(image.width * factor), round(image.height * factor))
            image.resize(size, Image.Resampling.LANCZOS).save(place, quality=QUALITY)
        copies.append(place)
    return copies


def differences(data: DataConfig, scaled: DataConfig) -> dict[str, Any]:
    """Return by how many levels crops differ that are decoded at a fraction of the image's size."""
    part = open_source(data).parts["train"]
    levels = []
    crops = 0
    for epoch in range(EPOCHS):
        for row in range(len(part)):
            pair = []
            for config in (data, scaled):

                def draw(
                    height: int, width: int, config: DataConfig = config, row: int = row
                ) -> TrainingCrop:
                    rng = stream(0, "crop", epoch, row)  # noqa: B023  # drawn at once
                    return draw_crop(height, width, rng, config, IMAGE_SIZE)

                drawn, pixels = part.read_box(row, draw, verified=True)
                crop = drawn.of(pixels, IMAGE_SIZE, (0.0, 0.0, 0.0)).astype(np.float64)
                pair.append((pixels.shape, crop))
            crops += 1
            if pair[0][0] != pair[1][0]:
                levels.append(np.abs(pair[0][1] - pair[1][1]).mean())
    low, median, high = np.quantile(levels, (0.25, 0.5, 0.75)).tolist()
    return {"crops": crops, "scaled": len(levels), "levels": median, "quartiles": [low, high]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("seconds", type=float, nargs="?", default=60.0)
    parser.add_argument("--long-side", type=int)
    options = parser.parse_args()
    if turbojpeg.turbojpeg() is None:
        sys.exit("no library TurboJPEG 3: pip install 'trickbag[turbo]'")
    with tempfile.TemporaryDirectory() as work:
        source = Path(work) / "photos"
        photos = copy_photos(options.folder, source, options.long_side)
        data = DataConfig(source=str(source), image_size=IMAGE_SIZE)
        scaled = DataConfig(source=str(source), image_size=IMAGE_SIZE, dct_scaling=True)
        configs = [data] if options.long_side is None else [data, scaled]
        runs = [
            measure(config, options.folder, options.seconds, region_decoding=with_library)
            for with_library in (True, False)
            for config in configs
        ]
        results: dict[str, Any] = {"data_paths": runs}
        if options.long_side is not None:
            results["dct_difference"] = differences(data, scaled)
        size = sum(photo.stat().st_size for photo in photos) / len(photos) / 1000
    what = f"{size:.0f} KB each in the mean: random crops of {IMAGE_SIZE} px, mirrored"
    if options.long_side is None:
        name, photos_text = "data_path", f"{len(photos)} photos of ImageNet"
    else:
        name = f"data_path_{options.long_side}"
        photos_text = (
            f"{len(photos)} photos ({options.folder.name}) scaled down to {options.long_side} px "
            "on the long side"
        )
    keep(
        name,
        f"loading of {photos_text}, {what}",
        "benchmarks/data_path.py",
        **results,
    )


if __name__ == "__main__":
    main()
