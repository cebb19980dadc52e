"""Measure whole epochs of `trickbag train` beside timm's train.py and plain loops.

python benchmarks/epoch_peers.py DATA               DATA has train/ and val/: imagenette-128, say
python benchmarks/epoch_peers.py DATA --timm DIR    DIR is a checkout of timm, with its train.py
python benchmarks/epoch_peers.py --quick            drawn images, one round: printed, not kept

Each side trains the same network on the same files, in the same batches, from new weights, with
random crops and mirrors, SGD and a cross-entropy, and evaluates all of val after each epoch. All
are programs of their own, with the same number of threads and worker processes, and take turns. The
seconds are those of the whole program, start and evaluations included, and those of its processor;
`train_s` are the seconds of the training alone, where a program tells. timm's scripts are in none
of its packages: its loop is also there as `epoch_loops.py` writes it with timm's functions.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from drawn_images import generated_folder
from trials import ROOT, keep
from trickbag.data.config import DataConfig
from trickbag.data.sources import open_source
from trickbag.files import write_json
from trickbag.models.config import model_config
from trickbag.optim.config import TrainConfig
from trickbag.recipe import Recipe
from trickbag.tricks.mixed_precision import MixedPrecision
from turns import beside

LOW = ("--amp", "--amp-dtype", "bfloat16", "--channels-last")
"""The flags of timm's train.py that make it fastest on such a processor."""


def ours(args: argparse.Namespace, folder: Path, name: str, *tricks: Any) -> list[str]:
    """Return the command of ours: a recipe of the network alone, with these tricks."""
    recipe = Recipe(
        name=name,
        model=model_config(args.network),
        training=TrainConfig(epochs=args.epochs, batch_size=args.batch, lr=0.1),
        tricks=tricks,
    )
    settings = {"data.image_size": str(args.pixels), "model.small_stem": "never"}
    settings |= {"data.workers": str(args.workers), "training.threads": str(args.threads)}
    if tricks:
        # The other sides evaluate in the precision of their training.
        settings["training.eval_precision"] = "bf16"
    file = folder / f"{name}.json"
    write_json(file, recipe.set_all(settings).to_dict())
    command = [sys.executable, "-m", "trickbag", "train", str(file), "--data", args.data]
    return [*command, "--device", args.device]


def timm_script(args: argparse.Namespace, classes: int, *flags: str) -> list[str]:
    """Return the command of timm's train.py with these flags beside what all sides share."""
    size = ["--input-size", "3", str(args.pixels), str(args.pixels), "-b", str(args.batch)]
    data = ["--data-dir", args.data, "--train-split", "train", "--val-split", "val"]
    network = ["--model", args.network, "--num-classes", str(classes), *size]
    length = ["--epochs", str(args.epochs), "--warmup-epochs", "0", "--cooldown-epochs", "0"]
    # As it has them these would be work that the other sides do not do.
    alike = ["--color-jitter", "0", "--train-interpolation", "bilinear", "--smoothing", "0"]
    alike += ["--lr", "0.1", "--weight-decay", "1e-4", "-j", str(args.workers)]
    device = ["--device", args.device]
    script = str(Path(args.timm) / "train.py")
    return [sys.executable, script, *data, *network, *length, *alike, *device, *flags]


def commands(args: argparse.Namespace, folder: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Return the command of each side; and why those that are left out are."""
    loop = [sys.executable, str(Path(__file__).parent / "epoch_loops.py")]
    shared = ["--network", args.network, "--pixels", str(args.pixels), "--batch", str(args.batch)]
    shared += ["--epochs", str(args.epochs), "--workers", str(args.workers)]
    shared += ["--device", args.device]
    low = ["--precision", "bf16", "--channels-last"]
    sides = {
        "ours": ours(args, folder, "ours", MixedPrecision()),
        "ours, float32": ours(args, folder, "float32"),
        "loop of timm": [*loop, "timm", args.data, *shared],
        "loop of timm, bf16, channels last": [*loop, "timm", args.data, *shared, *low],
        "loop of torchvision": [*loop, "torchvision", args.data, *shared],
        "loop of torchvision, bf16, channels last": [
            *loop,
            "torchvision",
            args.data,
            *shared,
            *low,
        ],
    }
    left_out = []
    if args.timm is None:
        left_out.append("timm's train.py: no checkout of timm is given (--timm DIR)")
    elif not (Path(args.timm) / "train.py").is_file():
        left_out.append(f"timm's train.py: {Path(args.timm).name} has no train.py")
    else:
        classes = len(open_source(DataConfig(source=args.data)).classes)
        sides["timm's train.py"] = timm_script(args, classes)
        sides[f"timm's train.py {' '.join(LOW)}"] = timm_script(args, classes, *LOW)
    return sides, left_out


def thinned(data: Path, images: int, folder: Path) -> Path:
    """Copy at most so many images of `train` and `val`, evenly over both, to a folder."""
    files = sorted(path for part in ("train", "val") for path in data.glob(f"{part}/*/*"))
    step = max(1, -(-len(files) // images))
    for path in files[::step]:
        copy = folder / path.relative_to(data)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return folder


def timed(command: list[str], out: Path, threads: int) -> dict[str, Any]:
    """Run a command to its end; return its seconds, and what it tells of itself."""
    is_ours, is_script = "trickbag" in command, command[1].endswith("train.py")
    if is_ours:
        command = [*command, "--out", str(out)]
    elif is_script:
        command = [*command, "--output", str(out)]
    # Ours takes its threads from the recipe, the others from the environment.
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    if not is_ours:
        environment["OMP_NUM_THREADS"] = str(threads)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])}: {(done.stderr or done.stdout).strip()[-800:]}")
    train_s: float | None = None
    if is_ours:
        train_s = json.loads((out / "result.json").read_text())["metrics"]["train_time_s"]
    elif not is_script:
        train_s = json.loads(done.stdout.strip().splitlines()[-1])["train_s"]
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": wall_s, "cpu_s": cpu_s, "train_s": train_s}


def measured(sides: dict[str, list[str]], rounds: int, threads: int) -> list[dict[str, Any]]:
    """Run all sides in turns; return a row of each."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides) if number % 2 == 0 else list(sides)[::-1]:
            with tempfile.TemporaryDirectory() as folder:
                runs[name].append(timed(sides[name], Path(folder) / "run", threads))
            print(json.dumps({"side": name, **runs[name][-1]}), flush=True)
    rows = []
    for name, each in runs.items():
        row: dict[str, Any] = {"side": name, "runs": each}
        for key in ("wall_s", "cpu_s", "train_s"):
            values = [run[key] for run in each]
            row[key] = None if None in values else median(values)
            if row[key] is not None:
                ours_s = [run[key] for run in runs["ours"]]
                row[f"{key[:-2]}_ratio"] = beside(ours_s, values)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", metavar="DATA")
    parser.add_argument("--timm", metavar="DIR", help="a checkout of timm's repository")
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--pixels", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--images", type=int, default=3000, help="of DATA at most; 0: all")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if not args.data and not args.quick:
        parser.error("DATA is missing: a folder with train/ and val/")
    with tempfile.TemporaryDirectory() as folder:
        if args.quick:
            args.data = str(generated_folder(Path(folder) / "images", 32, 48))
            args.network, args.pixels, args.batch, args.rounds = "resnet18", 32, 8, 1
            args.workers = 0
        args.data = str(Path(args.data).resolve())
        name_of_data = Path(args.data).name
        if args.images and not args.quick:
            args.data = str(thinned(Path(args.data), args.images, Path(folder) / "images"))
        sides, left_out = commands(args, Path(folder))
        rows = measured(sides, args.rounds, args.threads)
    for reason in left_out:
        print(f"left out: {reason}", file=sys.stderr)
    if args.quick:
        return
    data = f"{args.images:,} images of {name_of_data}" if args.images else name_of_data
    description = (
        f"{args.epochs} epoch{'s' * (args.epochs > 1)} of {args.network} on {data}, "
        f"{args.pixels} px, batches of {args.batch}, {args.threads} "
        f"thread{'s' * (args.threads > 1)}, {args.workers} worker processes: whole programs, "
        f"medians and ranges of {args.rounds} rounds in turns"
    )
    name = "epoch_peers" + "_cuda" * (args.device == "cuda")
    keep(name, description, "benchmarks/epoch_peers.py DATA", whole_epochs=rows, left_out=left_out)


if __name__ == "__main__":
    main()
