"""Compare mixing, erasing and colour jitter of whole batches with timm's and torchvision's.

python benchmarks/batched_tricks.py           all of it, some minutes
python benchmarks/batched_tricks.py --quick   a few rounds, printed and not kept

All do the same job on the same batch, from labels to dense targets if there are any, with new
random numbers every time. Ours may change the images in place, as in a training step; timm's always
does. Both are also measured on images that must stay as they are, which is torchvision's job. A
transform for one image runs in a loop. All take turns in every round, in this process, with one
thread and without compilation. The result is the median, over the rounds, of the ratio of their
processor times.

The allocator keeps freed memory (see `turns.py`).
"""

from __future__ import annotations

import json
import random
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
from timm.data.mixup import Mixup as TimmMixup
from timm.data.random_erasing import RandomErasing as TimmErasing
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from trials import keep
from trickbag.tricks import Batch, Trick
from trickbag.tricks.color_jitter import ColorJitter
from trickbag.tricks.cutmix import CutMix
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.random_erasing import RandomErasing
from turns import keep_memory

CLASSES = 10
SIZES = ((32, 128), (224, 32))


def ours(
    trick: Trick, images: Tensor, labels: Tensor, rng: np.random.Generator, *, mixes: bool = True
) -> dict[str, Callable[[], Any]]:
    """Return the jobs of a trick.

    A trick that mixes makes dense targets of the labels each time, as the functions of timm and
    torchvision do.
    """
    in_place, dense = images.clone(), functional.one_hot(labels, CLASSES).float()

    def once(images: Tensor, owned: bool) -> Batch:
        targets = functional.one_hot(labels, CLASSES).float() if mixes else dense
        draw = map(torch.from_numpy, trick.draw(len(images), rng))
        return trick.batch(Batch(images, targets, labels, {}, owned), *draw)

    return {
        "trickbag": partial(once, in_place, True),
        "trickbag, images stay": partial(once, images, False),
    }


def timm(
    change: Callable[..., Any], images: Tensor, *labels: Tensor
) -> dict[str, Callable[[], Any]]:
    in_place = images.clone()
    return {
        "timm": lambda: change(in_place, *labels),
        "timm, images stay": lambda: change(images.clone(), *labels),
    }


def timm_mixing(images: Tensor, labels: Tensor, **settings: Any) -> dict[str, Callable[[], Any]]:
    return timm(TimmMixup(num_classes=CLASSES, label_smoothing=0.0, **settings), images, labels)


def one_by_one(transform: Callable[[Tensor], Tensor], images: Tensor) -> Callable[[], Any]:
    return lambda: torch.stack([transform(image) for image in images])


def jobs(size: int, n: int) -> dict[str, dict[str, Callable[[], Any]]]:
    rng = np.random.default_rng(0)
    images = torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))
    labels, pixels = torch.arange(n) % CLASSES, torch.rand(n, 3, size, size)
    jitter = ours(ColorJitter(form="code"), pixels * 255, labels, rng, mixes=False)
    area, ratio = (0.02, 1 / 3), (0.3, 1 / 0.3)

    def erasing(
        fill: Literal["zero", "pixel"], mode: str, value: Any
    ) -> dict[str, Callable[[], Any]]:
        trick = RandomErasing(prob=0.5, area=area, ratio=ratio, fill=fill)
        transform = v2.RandomErasing(0.5, area, ratio, value)
        return {
            **ours(trick, images, labels, rng, mixes=False),
            **timm(TimmErasing(probability=0.5, mode=mode, device="cpu"), images),
            "torchvision, image by image": one_by_one(transform, images),
        }

    return {
        "mixup, a weight a batch": {
            **ours(Mixup(alpha=1.0), images, labels, rng),
            **timm_mixing(images, labels, mixup_alpha=1.0),
            "torchvision": partial(v2.MixUp(num_classes=CLASSES), images, labels),
        },
        "mixup, a weight an image": {
            **ours(Mixup(alpha=1.0, lam="pair"), images, labels, rng),
            **timm_mixing(images, labels, mixup_alpha=1.0, mode="elem"),
        },
        "cutmix, a box a batch": {
            **ours(CutMix(), images, labels, rng),
            **timm_mixing(images, labels, mixup_alpha=0.0, cutmix_alpha=1.0),
            "torchvision": partial(v2.CutMix(num_classes=CLASSES), images, labels),
        },
        "cutmix, a box an image": {
            **ours(CutMix(lam="pair"), images, labels, rng),
            **timm_mixing(images, labels, mixup_alpha=0.0, cutmix_alpha=1.0, mode="elem"),
        },
        "colour jitter without hue": {
            "trickbag": jitter["trickbag"],
            "torchvision, image by image": one_by_one(v2.ColorJitter(0.4, 0.4, 0.4), pixels),
        },
        "random erasing, noise": erasing("pixel", "pixel", "random"),
        "random erasing, mean colour": erasing("zero", "const", 0),
    }


def seconds(job: Callable[[], Any], repeats: int) -> float:
    started = time.process_time()
    for _ in range(repeats):
        job()
    return (time.process_time() - started) / repeats


def measure(size: int, n: int, rounds: int) -> list[dict[str, Any]]:
    rows = []
    for name, sides in jobs(size, n).items():
        repeats = {
            side: max(1, int(0.02 / min(seconds(job, 1) for _ in range(3))))
            for side, job in sides.items()
        }
        times: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(rounds):
            for side, job in sides.items():
                times[side].append(seconds(job, repeats[side]))
        for side in list(sides)[1:]:
            row = compared(times["trickbag"], times[side])
            rows.append({"operation": name, "pixels": size, "batch": n, "beside": side, **row})
            low, high = row["ratios"]
            print(
                f"{size} px, {n}: {name}: {1e6 * row['ours_s']:.0f} us, "
                f"{side} {1e6 * row['theirs_s']:.0f} us, "
                f"{row['ratio']:.2f} times ({low:.2f} to {high:.2f})",
                flush=True,
            )
    return rows


def compared(ours_s: list[float], other_s: list[float]) -> dict[str, Any]:
    """Summarise the rounds: medians, and the ratio with the range of all but its extreme tenths."""
    ratios = sorted(b / a for a, b in zip(ours_s, other_s, strict=True))
    return {
        "ours_s": median(ours_s),
        "theirs_s": median(other_s),
        "ratio": median(ratios),
        "ratios": [ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]],
    }


def main() -> None:
    keep_memory()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    # timm draws from numpy's global generator and torchvision from torch's and Python's.
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    quick = "--quick" in sys.argv[1:]
    rows = [row for size, n in SIZES for row in measure(size, n, 5 if quick else 51)]
    if quick:
        return
    description = (
        "processor time of timm and torchvision over trickbag's: the median of rounds in which "
        "they take turns"
    )
    keep("batched_tricks", description, "benchmarks/batched_tricks.py", threads=1, rows=rows)
    print(json.dumps({row["operation"]: row["ratio"] for row in rows}))


if __name__ == "__main__":
    main()
