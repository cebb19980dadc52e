"""Measure how fast images are corrupted, and how alike, beside the package imagecorruptions.

python benchmarks/corruptions.py PYTHON FOLDER            writes benchmarks/results/corruptions.json
python benchmarks/corruptions.py PYTHON FOLDER --quick    few images, to see that it works; writes
                                                          nothing

PYTHON is the Python of an environment with imagecorruptions 1.1.2 and packages of its time:
python3.11 -m venv V && V/bin/pip install imagecorruptions==1.1.2 'numpy<2' 'scipy<1.12'
'scikit-image==0.20.0' 'opencv-python<4.10' 'setuptools<81'. FOLDER has colour images of 224 px, at
any depth. Both sides take the same images, in turns and on one thread; seconds are of processor
time, at all five severities. Statistics are of the corrupted images of both sides: mean, standard
deviation, and the power of the luminance in octaves of spatial frequency. Where the package can be
given the random numbers that ours draws, or draws none, the images are compared value by value too.
Ends with 1 if ours is not five times as fast over all corruptions together.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

from trials import ROOT, keep
from trickbag.evaluate.robustness.corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    FrostPictures,
    corrupt,
    frost_pictures,
    table_for,
)

SIDE = 224
GIVEN = {"gaussian_noise", "speckle_noise", "glass_blur", "motion_blur", "snow", "fog", "spatter"}
OTHER_METHOD = {"shot_noise", "impulse_noise", "frost", "elastic_transform"}
"""Corruptions whose random numbers have another form in the package."""
OCTAVES = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Bounds of the bands of spatial frequency, in cycles per pixel."""
TARGET = 5


class OtherSide:
    """The process that applies the package."""

    def __init__(self, python: str, images: Path) -> None:
        script = ROOT / "benchmarks" / "imagecorruptions_side.py"
        self.process = subprocess.Popen(
            [python, script, images], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.facts = self.answer()

    def answer(self) -> dict[str, Any]:
        """Read the answer to the last request."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the process with imagecorruptions has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def request(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def read_images(folder: Path, count: int) -> np.ndarray[Any, Any]:
    """Read colour images of the side, spread over the folder: (N, H, W, 3)."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpeg", ".jpg"))
    images = []
    for path in paths[:: max(1, len(paths) // (2 * count))]:
        with Image.open(path) as image:
            if image.size == (SIDE, SIDE) and image.mode == "RGB":
                images.append(np.asarray(image))
    if len(images) < count:
        raise SystemExit(f"{folder} has {len(images)} colour images of {SIDE} px; {count} needed")
    return np.stack(images[:count])


def channels_first(images: np.ndarray[Any, Any]) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def seconds(images: torch.Tensor, name: str, frost: FrostPictures) -> float:
    started = time.process_time()
    for severity in SEVERITIES:
        corrupt(images, name, severity, seed=0, index_N=range(len(images)), frost=frost)
    return time.process_time() - started


def statistics(images: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return mean and standard deviation in levels, and the power by octave in decibels."""
    luminance = images @ np.array([0.299, 0.587, 0.114])
    centred = luminance - luminance.mean((1, 2), keepdims=True)
    power = (np.abs(np.fft.fft2(centred)) ** 2).mean(0) / SIDE**2
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE))
    bands = [
        power[(low < frequency) & (frequency <= high)].mean() for low, high in pairwise(OCTAVES)
    ]
    return {
        "mean": float(images.mean()),
        "std": float(images.std()),
        "power_db": [float(10 * np.log10(band)) for band in bands],
    }


def draw_files(name: str, severity: int, count: int, folder: Path) -> list[str]:
    """Write the random numbers that ours draws for each image."""
    corruption, parameters = CORRUPTIONS[name], table_for(SIDE, SIDE).at(name, severity)
    files = []
    for index in range(count):
        files.append(str(folder / f"draws-{index}.npz"))
        np.savez(files[-1], **corruption.draws_of(0, severity, index, (3, SIDE, SIDE), parameters))
    return files


def compare(
    name: str, images: np.ndarray[Any, Any], side: OtherSide, frost: FrostPictures, folder: Path
) -> dict[str, Any]:
    """Return the statistics of both sides by severity, and how many values differ."""
    result: dict[str, Any] = {"statistics": [], "values": []}
    file = folder / "images.npy"
    for severity in SEVERITIES:
        request = {"images": name, "severity": severity, "path": str(file)}
        ours = corrupt(
            channels_first(images),
            name,
            severity,
            seed=0,
            index_N=range(len(images)),
            frost=frost,
        )
        ours_last = ours.permute(0, 2, 3, 1).numpy()
        side.request(**request, count=len(images), draws=None)
        both = {"ours": statistics(ours_last), "imagecorruptions": statistics(np.load(file))}
        result["statistics"].append({"severity": severity, **both})
        if name not in OTHER_METHOD:
            few = min(2, len(images))
            draws = draw_files(name, severity, few, folder) if name in GIVEN else None
            side.request(**request, count=few, draws=draws)
            difference = np.abs(ours_last[:few].astype(int) - np.load(file))
            result["values"].append(
                {
                    "severity": severity,
                    "largest": int(difference.max()),
                    "share_above_1": float((difference > 1).mean()),
                }
            )
    return result


def spread(values: list[float]) -> dict[str, float]:
    return {"median": median(values), "low": min(values), "high": max(values)}


def timed(
    images: torch.Tensor, side: OtherSide, frost: FrostPictures, rounds: int
) -> tuple[dict[str, list[tuple[float, float]]], list[dict[str, Any]]]:
    """Return the seconds of both sides in each round by corruption, and the rows of the table."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in CORRUPTIONS}
    for turn in range(rounds):
        for name in CORRUPTIONS:
            # Every second round has the other order, so that neither side is always first.
            if turn % 2:
                other_s = side.request(time=name, count=len(images))["seconds"]
                times[name].append((seconds(images, name, frost), other_s))
            else:
                ours_s = seconds(images, name, frost)
                other_s = side.request(time=name, count=len(images))["seconds"]
                times[name].append((ours_s, other_s))
        print(f"round {turn + 1} of {rounds}", flush=True)
    count = len(images) * len(SEVERITIES)
    rows = [
        {
            "corruption": name,
            "images_per_s": {
                "ours": spread([count / ours for ours, _ in pairs]),
                "imagecorruptions": spread([count / other for _, other in pairs]),
            },
            "times_as_fast": spread([other / ours for ours, other in pairs]),
        }
        for name, pairs in times.items()
    ]
    return times, rows


def together(
    times: dict[str, list[tuple[float, float]]], leave_out: tuple[str, ...] = ()
) -> dict[str, float]:
    """Return how many times as fast ours is over all corruptions, by round."""
    kept = [pairs for name, pairs in times.items() if name not in leave_out]
    turns = list(zip(*kept, strict=True))
    return spread(
        [sum(other for _, other in turn) / sum(ours for ours, _ in turn) for turn in turns]
    )


def main() -> int:
    arguments = [argument for argument in sys.argv[1:] if argument != "--quick"]
    if len(arguments) != 2:
        raise SystemExit(__doc__)
    quick = "--quick" in sys.argv[1:]
    timed_images, compared_images, rounds = (2, 2, 1) if quick else (4, 20, 5)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = read_images(Path(arguments[1]), max(timed_images, compared_images))
        np.save(folder / "input.npy", images)
        side = OtherSide(arguments[0], folder / "input.npy")
        frost = frost_pictures(Path(side.facts["frost"]))
        first = channels_first(images[:timed_images])
        for corruption in CORRUPTIONS:  # tables and matrices that are computed once
            seconds(first[:1], corruption, frost)
        times, rows = timed(first, side, frost, rounds)
        for row in rows:
            row |= compare(row["corruption"], images[:compared_images], side, frost, folder)
            print(json.dumps(row), flush=True)
        side.close()
    overall = {"all": together(times), "without_glass_blur": together(times, ("glass_blur",))}
    print(json.dumps(overall))
    if not quick:
        keep(
            "corruptions",
            f"corruptions of images of {SIDE} px, five severities each: speed of {timed_images} "
            f"images in {rounds} rounds in turns on one thread, in processor time; statistics of "
            f"{compared_images} images",
            "benchmarks/corruptions.py",
            corruptions=rows,
            times_as_fast=overall,
            octaves=list(OCTAVES),
            other_versions=side.facts["versions"],
        )
    return int(overall["all"]["median"] < TARGET)


if __name__ == "__main__":
    sys.exit(main())
