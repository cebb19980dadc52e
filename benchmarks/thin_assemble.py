"""A thin Assemble-ResNet beside the plain ResNet of as many multiply-adds, on Imagenette at 64 px.

python benchmarks/thin_assemble.py FOLDER           the folder holds train/CLASS and val/CLASS
(imagenette-128 unpacked) python benchmarks/thin_assemble.py FOLDER --quick   one epoch, one seed:
printed and not kept

Assemble-ResNet-50 has its depth and width by compound scaling, the ResNet-50 the same depth and the
width at which its multiply-adds are nearest; both are trained by the recipe small without its tweak
D, which a Big-Little network has not.
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
    """Return the two networks; they have the stem that a run takes for images of this size."""
    assembled, plain = model_config("assemble_resnet50"), model_config("resnet50")
    assert isinstance(assembled, BigLittleConfig)
    assert isinstance(plain, ResNetConfig)
    assembled = fit_stem(
        dataclasses.replace(scaled(assembled, compound(phi)), num_classes=CLASSES), SIZE
    )
    plain = dataclasses.replace(plain, num_classes=CLASSES, depth_factor=assembled.depth_factor)
    return assembled, fit_width(fit_stem(plain, SIZE), macs=macs(assembled), image_size=SIZE)


def arm(
    label: str, name: str, config: BigLittleConfig | ResNetConfig, same: tuple[str, ...]
) -> Arm:
    factors = {"depth_factor": config.depth_factor, "width_factor": config.width_factor}
    settings = [
        text for key, value in factors.items() for text in ("--set", f"model.{key}={value!r}")
    ]
    return Arm(label, ("small", "--model", name, "--without", "resnet_d", *settings, *same))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if not (given.folder / "train").is_dir():
        parser.error(f"{given.folder} has no train/CLASS and val/CLASS")
    name, phi, epochs, seeds = (
        ("thin_assemble_quick", -8, 1, 1) if given.quick else ("thin_assemble", -8, 6, 3)
    )
    if given.quick:
        shutil.rmtree(ROOT / "runs" / "benchmarks" / name, ignore_errors=True)
    assembled, plain = thin(phi)
    same = (
        "--data",
        str(given.folder),
        "--image-size",
        str(SIZE),
        "--epochs",
        str(epochs),
        "--device",
        "cpu",
    )
    same += ("--set", "training.threads=1", "--set", "data.workers=0")
    arms = [
        arm("assemble_resnet50", "assemble_resnet50", assembled, same),
        arm("resnet50", "resnet50", plain, same),
    ]
    what = (
        f"Imagenette (6,500 training and 2,500 validation images of 10 classes) at {SIZE} px, "
        f"{epochs} epochs, one "
        f"thread each: Assemble-ResNet-50 of {assembled.depth_factor:.3f} times the depth and "
        f"{assembled.width_factor:.3f} times the width (phi {phi}; {macs(assembled) / 1e6:.0f} "
        f"million multiply-adds) "
        f"and ResNet-50 of that depth and {plain.width_factor:.3f} times the width "
        f"({macs(plain) / 1e6:.0f} million)"
    )
    compare(name, what, arms, seeds=seeds, keep=not given.quick)


if __name__ == "__main__":
    main()
