"""Measure how fast policies change images, ours and torchvision's, in turns on one core.

python benchmarks/policies.py            rounds at 224 and 32 pixels;
                                         writes benchmarks/results/policies.json
python benchmarks/policies.py --quick    two short rounds, to see that it works; writes nothing

Ours draws from the stream of the image, as in the loader, and returns a Pillow image for a Pillow
image. torchvision's transforms (versions 1 and 2) get the same Pillow images, and version 2 also
the same images as tensors. Rates are images per second of processor time, which other work on the
machine disturbs less than wall time.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2
from torchvision.transforms.functional import pil_to_tensor

from trials import keep
from trickbag.data.policies.policies import LearnedPolicy, MixedPolicy, Policy, RandomPolicy
from trickbag.streams import stream
from trickbag.tricks.auto_augment import TABLES

IMAGES = 32
ROUNDS = 7

# The part of AugMix that both have: torchvision has no consistency loss, and magnitudes in steps.
MIXED = {"severity": 3, "all_ops": False}
POLICIES: dict[str, tuple[Policy, Callable[[Any], Any]]] = {
    "auto_augment": (LearnedPolicy(table=TABLES["imagenet"]), lambda kind: kind.AutoAugment()),
    "auto_augment:table=cifar10": (
        LearnedPolicy(table=TABLES["cifar10"]),
        lambda kind: kind.AutoAugment(kind.AutoAugmentPolicy.CIFAR10),
    ),
    "rand_augment": (RandomPolicy(), lambda kind: kind.RandAugment()),
    "trivial_augment": (
        RandomPolicy(count=1, magnitude=None, ranges="wide"),
        lambda kind: kind.TrivialAugmentWide(),
    ),
    "aug_mix": (MixedPolicy(), lambda kind: kind.AugMix(**MIXED)),
}


def drawn(size: int, seed: int) -> Image.Image:
    """Draw an image with gradients, a shape and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : size * 1j, 0 : 1 : size * 1j]
    disc = (y - rng.random()) ** 2 + (x - rng.random()) ** 2 < 0.1
    planes = np.stack([x, y, (x + y) / 2], axis=2) * 160 + disc[..., None] * rng.integers(0, 90, 3)
    return Image.fromarray((planes + rng.normal(0, 8, planes.shape)).clip(0, 255).astype(np.uint8))


def rate(change: Callable[[int, Any], Any], images: Sequence[Any], seconds: float) -> float:
    """Return the images changed per second of processor time, in passes over all of them."""
    done, started = 0, time.process_time()
    while (spent := time.process_time() - started) < seconds or not done:
        for row, image in enumerate(images):
            change(done + row, image)
        done += len(images)
    return done / spent


def compare(
    policy: Policy, transform: Callable[[Any], Any], size: int, rounds: int, seconds: float
) -> dict[str, Any]:
    images = [drawn(size, seed) for seed in range(IMAGES)]
    tensors = [pil_to_tensor(image) for image in images]
    version_1, version_2 = transform(transforms), transform(v2)
    arms: dict[str, tuple[Callable[[int, Any], Any], Sequence[Any]]] = {
        "ours": (lambda row, image: policy(image, stream(0, "policy", 0, row)), images),
        "torchvision, Pillow": (lambda _, image: version_1(image), images),
        "torchvision v2, Pillow": (lambda _, image: version_2(image), images),
        "torchvision v2, tensors": (lambda _, image: version_2(image), tensors),
    }
    measured: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(rounds):
        # Each round has another order, so that none is always first.
        names = list(arms)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            torch.manual_seed(turn)
            measured[name].append(rate(*arms[name], seconds))
    ratios = {
        name: sorted(a / b for a, b in zip(measured["ours"], rates, strict=True))
        for name, rates in measured.items()
        if name != "ours"
    }
    return {
        "images_per_s": {name: median(rates) for name, rates in measured.items()},
        "times_as_fast": {
            name: {"median": median(r), "low": r[0], "high": r[-1]} for name, r in ratios.items()
        },
    }


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    rounds, seconds = (2, 0.05) if quick else (ROUNDS, 0.5)
    torch.set_num_threads(1)
    rows = []
    for size in (224, 32):
        for name, (policy, transform) in POLICIES.items():
            rates = compare(policy, transform, size, rounds, seconds)
            rows.append({"policy": name, "image_size": size, **rates})
            print(json.dumps(rows[-1]), flush=True)
    if quick:
        return
    description = (
        f"policies on {IMAGES} drawn images, {ROUNDS} rounds in turns of {seconds:g} s of "
        "processor time"
    )
    keep("policies", description, "benchmarks/policies.py", rows=rows)


if __name__ == "__main__":
    main()
