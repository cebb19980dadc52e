"""Measure how long a folder takes to be listed, the first time and from the cache of listings.

python benchmarks/listing.py                       20,000 classes of 3 images
python benchmarks/listing.py --large               1,000 classes of 1,300 images, as ImageNet has

The files are named and empty: a listing decodes nothing. `--folder DIR` says where they are made;
the folder is made once, and stays. Each listing is one of a process of its own, so that its time is
that of a command, without the import of the package. "fresh" is without the cache, "first" writes
it, "again" reads it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from trials import ROOT, keep

LIST = """
import sys, time
from pathlib import Path
from trickbag.data.config import DataConfig
from trickbag.data.dataset import fingerprint
from trickbag.data.sources import open_source

data = DataConfig(source=sys.argv[1])
started = time.perf_counter()
source = open_source(data, cache_dir=Path(sys.argv[2]), fresh=sys.argv[3] == "fresh")
listed = time.perf_counter()
fingerprint(source.classes, source.parts)
print(sum(map(len, source.parts.values())), listed - started, time.perf_counter() - listed)
"""


def make(folder: Path, classes: int, images: int) -> None:
    """Make empty files `CLASS/NAME.jpg` with names of the lengths that ImageNet's have."""
    for label in range(classes):
        inner = folder / f"n{label:08}"
        inner.mkdir(parents=True)
        for i in range(images):
            os.close(os.open(inner / f"n{label:08}_{i}.JPEG", os.O_CREAT | os.O_WRONLY))


def listing(folder: Path, cache: Path, way: str) -> dict[str, float]:
    command = [sys.executable, "-c", LIST, str(folder), str(cache), way]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    images, listed_s, fingerprint_s = output.split()
    return {"images": int(images), "s": float(listed_s), "fingerprint_s": float(fingerprint_s)}


def main() -> None:
    large = "--large" in sys.argv[1:]
    classes, images = (1_000, 1_300) if large else (20_000, 3)
    base = ROOT / "runs" / "benchmarks"
    if "--folder" in sys.argv:
        base = Path(sys.argv[sys.argv.index("--folder") + 1])
    name = f"listing_{'large' if large else 'classes'}"
    folder, cache = base / name, base / f"{name}_cache"
    if not folder.exists():
        make(folder, classes, images)
        # Folders that were changed a moment ago are listed again: see `listing_cache`.
        time.sleep(4)
    shutil.rmtree(cache, ignore_errors=True)
    result: dict[str, Any] = {"classes": classes, "images_per_class": images}
    result["fresh"] = listing(folder, cache / "other", "fresh")
    result["first"] = listing(folder, cache, "first")
    result["again"] = listing(folder, cache, "again")
    print(json.dumps(result, indent=2))
    what = "Listing a folder of {classes:,} classes with {images:,} empty files each"
    keep(name, what.format(classes=classes, images=images), "benchmarks/listing.py", **result)


if __name__ == "__main__":
    main()
