"""Run the studies that the docs show, and keep their results under docs/studies.

python benchmarks/studies.py digits
    every trick of the recipe small, left out in turn, five seeds
python benchmarks/studies.py imagenette FOLDER
    four of them on Imagenette at 64 px, three seeds, half the width
python benchmarks/studies.py additions FOLDER
    other tricks, each added to one bare recipe, at 32 px, three seeds
python benchmarks/studies.py alternatives FOLDER
    more tricks, which share a slot with one of these
python benchmarks/studies.py augmix FOLDER
    AugMix added to that recipe, judged by the mean error on corrupted images
python benchmarks/studies.py antialias FOLDER
    anti-aliasing added to it, judged by the shift consistency
python benchmarks/studies.py tuned FOLDER
    the bag of tricks step by step at 32 px, the learning rate of each step tuned on the same grid,
    five seeds
python benchmarks/studies.py settled FOLDER
    four tricks, each added to a bare recipe at 32 px, until each effect is settled; at most nine
    seeds, registered before the first trial

A study that was stopped is continued. FOLDER holds train/ and val/ of imagenette-128; a link in
this checkout leads to it, so that the kept files name no path outside of it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from trials import ROOT, commit
from trickbag.files import write_json
from trickbag.train.machine.environment import environment

# fmt: off
ADDITIONS = (
    "cutmix", "random_erasing", "color_jitter", "trivial_augment", "ema", "sam", "squeeze_excite",
    "anti_alias", "activation", "drop_block", "stochastic_depth", "dropout",
    "progressive_resizing", "bce",
)
ALTERNATIVES = ("mixup", "cutout", "pca_noise", "rand_augment", "selective_kernel")


def added(tricks: tuple[str, ...], epochs: int = 6) -> tuple[str, ...]:
    """Return the arguments of a study that adds each trick to a bare recipe with good settings.

    Its learning rate is given for its batch, so that nothing has to scale it.
    """
    return (
        "small", "--data", "runs/data/imagenette-128", "--image-size", "32",
        "--epochs", str(epochs), "--seeds", "3",
        "--model", "resnet18_d", "--set", "model.small_stem=never",
        "--set", "model.width_factor=0.5",
        "--set", "training.lr=0.01", "--set", "training.precision=auto",
        "--set", "schedule.decay=cosine", "--set", "schedule.warmup_epochs=1",
        "--without", "linear_scaling", "--without", "mixup",
        *(f"--with={trick}" for trick in tricks),
        "--design", "one-at-a-time", "--tricks", ",".join(tricks), "--workers", "2",
    )


BAG = (
    "warmup", "zero_init_residual", "no_bias_decay", "resnet_d", "cosine_decay", "label_smoothing",
    "mixup",
)

STUDIES = {
    "digits": ("small", "--data", "digits", "--seeds", "5", "--workers", "2"),
    "imagenette": (
        "small", "--data", "runs/data/imagenette-128", "--image-size", "64",
        "--epochs", "5", "--seeds", "3", "--set", "model.width_factor=0.5",
        "--tricks", "resnet_d,zero_init_residual,label_smoothing,mixup", "--workers", "2",
    ),
    "additions": added(ADDITIONS),
    "alternatives": added(ALTERNATIVES),
    # The other outcomes are measured in the same trials.
    "augmix": (
        *added(("aug_mix",), epochs=10), "--outcome-images", "500",
        "--outcome", "mean_corruption_error,top1,shift_consistency",
    ),
    "antialias": (
        *added(("anti_alias",), epochs=10), "--outcome-images", "500",
        "--outcome", "shift_consistency,top1",
    ),
    # Three seeds of each rate can tell that a trick helps at the untuned rate alone.
    "tuned": (
        "small", "--data", "runs/data/imagenette-128", "--image-size", "32",
        "--epochs", "6", "--seeds", "5",
        "--model", "resnet18", "--set", "model.small_stem=never",
        "--set", "model.width_factor=0.5",
        "--set", "training.lr=0.01", "--set", "training.precision=auto",
        "--without", "linear_scaling", "--without", "mixed_precision",
        "--design", "cumulative", "--tricks", ",".join(BAG),
        "--tune", "training.lr=0.3x,1x,3x", "--tune-seeds", "3", "--workers", "2",
    ),
    "settled": (
        *added(("cutmix", "random_erasing", "ema", "progressive_resizing")),
        "--max-seeds", "9", "--until-settled", "--margin", "1",
    ),
}
# fmt: on
KEPT = ("study.json", "results.jsonl", "effects.json", "effects.csv", "report.html")


def linked(folder: Path, name: str = "imagenette-128") -> str:
    """Link to a data set from this checkout; return the link's path in it."""
    link = ROOT / "runs" / "data" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(folder.resolve())
    return f"runs/data/{name}"


def run(name: str, *arguments: str) -> None:
    """Run a study in runs/studies, or continue it."""
    out = Path("runs", "studies", name)
    command = [sys.executable, "-m", "trickbag", "study", *arguments, "--out", str(out)]
    subprocess.run(command, check=True, cwd=ROOT)


def keep(name: str, script: str) -> None:
    """Keep the results of a study under docs/studies."""
    kept = ROOT / "docs" / "studies" / name
    kept.mkdir(parents=True, exist_ok=True)
    for file in KEPT:
        shutil.copyfile(ROOT / "runs" / "studies" / name / file, kept / file)
    write_json(kept / "measured.json", {"script": script, "commit": commit(), **environment()})


def main() -> None:
    name, *folder = sys.argv[1:]
    if folder:
        linked(Path(folder[0]))
    run(name, *STUDIES[name])
    keep(name, "benchmarks/studies.py")


if __name__ == "__main__":
    main()
