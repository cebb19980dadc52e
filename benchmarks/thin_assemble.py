"""Compare a thin Assemble-ResNet with the plain ResNet of as many multiply-adds, at 64 px.

python benchmarks/thin_assemble.py FOLDER           three seeds
python benchmarks/thin_assemble.py FOLDER --quick   one epoch, one seed: printed and not kept

FOLDER holds train/CLASS and val/CLASS of imagenette-128. Assemble-ResNet-50 has its depth and width
from compound scaling. The ResNet-50 has the same depth, and the width at which its multiply-adds
are nearest. Both are trained by the recipe small without its tweak D, which a Big-Little network
does not have.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path

import torch

from trials import ROOT, Arm, compare
from trickbag.models.config import BigLittleConfig, OwnConfig, ResNetConfig, model_config
from trickbag.models.counting import count_macs
from trickbag.models.scaling import compound, fit_width, scaled
from trickbag.models.zoo import fit_stem, raw_network

SIZE, CLASSES = 64, 10


def macs(config: OwnConfig) -> int:
    with torch.device("meta"):
        return count_macs(raw_network(config), SIZE)


def thin(phi: float) -> tuple[BigLittleConfig, ResNetConfig]:
    """Return the two networks, with the stem that a run chooses for images of this size."""
    assembled, plain = model_config("assemble_resnet50"), model_config("resnet50")
    assert isinstance(assembled, BigLittleConfig)
    assert isinstance(plain, ResNetConfig)
    assembled = fit_stem(
        dataclasses.replace(scaled(assembled, compound(phi)), num_classes=CLASSES), SIZE
    )
    plain = dataclasses.replace(plain, num_classes=CLASSES, depth_factor=assembled.depth_factor)
    return assembled, fit_width(fit_stem(plain, SIZE), macs=macs(assembled), image_size=SIZE)


def arm(name: str, config: BigLittleConfig | ResNetConfig, shared: tuple[str, ...]) -> Arm:
    factors = {"depth_factor": config.depth_factor, "width_factor": config.width_factor}
    settings = [
        text for key, value in factors.items() for text in ("--set", f"model.{key}={value!r}")
    ]
    return Arm(name, ("small", "--model", name, "--without", "resnet_d", *settings, *shared))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if not (args.folder / "train").is_dir():
        parser.error(f"{args.folder} has no train/CLASS and val/CLASS")
    name, phi, epochs, seeds = (
        ("thin_assemble_quick", -8, 1, 1) if args.quick else ("thin_assemble", -8, 6, 3)
    )
    if args.quick:
        shutil.rmtree(ROOT / "runs" / "benchmarks" / name, ignore_errors=True)
    assembled, plain = thin(phi)
    # fmt: off
    shared = (
        "--data", str(args.folder), "--image-size", str(SIZE), "--epochs", str(epochs),
        "--device", "cpu", "--set", "training.threads=1", "--set", "data.workers=0",
    )
    # fmt: on
    arms = [arm("assemble_resnet50", assembled, shared), arm("resnet50", plain, shared)]
    description = (
        f"Imagenette (6,500 training and 2,500 validation images of 10 classes) at {SIZE} px, "
        f"{epochs} epochs, one thread each: Assemble-ResNet-50 of {assembled.depth_factor:.3f} "
        f"times the depth and {assembled.width_factor:.3f} times the width "
        f"(phi {phi}; {macs(assembled) / 1e6:.0f} million multiply-adds) and ResNet-50 of that "
        f"depth and {plain.width_factor:.3f} times the width ({macs(plain) / 1e6:.0f} million)"
    )
    compare(name, description, arms, seeds=seeds, keep=not args.quick)


if __name__ == "__main__":
    main()
