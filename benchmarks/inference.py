"""Measure the images/s of the assembled networks beside those that their paper compares them with.

python benchmarks/inference.py                 on the CPU, float32
python benchmarks/inference.py --device cuda   float32 as in the paper's table, on another GPU
python benchmarks/inference.py --quick         an image at a time, one round: printed and not kept

Each network takes images of the size at which the paper evaluates it; its weights are random, which
changes no time. Two networks take turns in every round, in this process, in evaluation mode, not
compiled. The paper's own figures (Lee et al. 2020, tables 1 and 7) are for a P40 and the authors'
TensorFlow.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import torch

from trials import keep
from trickbag.models import create_model
from trickbag.models.counting import count_macs
from turns import beside, in_turns


class Pair(NamedTuple):
    """Two networks at their image sizes, and their images/s in the paper."""

    ours: str
    size: int
    other: str
    other_size: int
    published: tuple[int, int]


PAIRS = (
    Pair("assemble_resnet50", 256, "resnet50", 224, (312, 536)),
    Pair("assemble_resnet50", 256, "efficientnet_b3", 300, (312, 182)),
    Pair("assemble_resnet152", 256, "efficientnet_b6", 528, (143, 28)),
)


def running(name: str, size: int, batch: int, device: str) -> tuple[Callable[[], Any], int]:
    network = create_model(name, num_classes=1000).eval()
    macs = count_macs(network, size)
    network.to(device)
    images = torch.randn(batch, 3, size, size, device=device)

    def once() -> torch.Tensor:
        with torch.inference_mode():
            logits: torch.Tensor = network(images)
        return logits

    return once, macs


def measure(pair: Pair, batch: int, rounds: int, device: str) -> dict[str, Any]:
    ours, macs = running(pair.ours, pair.size, batch, device)
    other, other_macs = running(pair.other, pair.other_size, batch, device)
    seconds = in_turns({"ours": ours, "other": other}, rounds, device)
    return {
        "network": pair.ours,
        "image_size": pair.size,
        "macs": macs,
        "beside": pair.other,
        "beside_size": pair.other_size,
        "beside_macs": other_macs,
        "batch": batch,
        "images_per_s": {name: batch / median(times) for name, times in seconds.items()},
        "times_as_fast": {"other": beside(seconds["ours"], seconds["other"])},
        "published": pair.published[0] / pair.published[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    # The paper's table is of float32; with TF32 a GPU would round the factors of each product.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    on_gpu = args.device == "cuda"
    batch, rounds = (1, 1) if args.quick else (64, 21) if on_gpu else (4, 11)
    rows = []
    for pair in PAIRS:
        rows.append(measure(pair, batch, rounds, args.device))
        print(json.dumps(rows[-1]), flush=True)
    if args.quick:
        return
    threads = "" if on_gpu else f", {args.threads} thread{'s' if args.threads > 1 else ''}"
    name = "inference" + ("_cuda" if on_gpu else "")
    description = (
        f"inference of {batch} images at a time in float32{threads}: medians of {rounds} rounds in "
        "turns, and all rounds' range; published are figures of Lee et al. 2020, on a P40"
    )
    script = "benchmarks/inference.py" + (" --device cuda" if on_gpu else "")
    keep(name, description, script, rows=rows)


if __name__ == "__main__":
    main()
