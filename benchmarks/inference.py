"""Images/s of the assembled networks beside those that their paper compares them with.

python benchmarks/inference.py                 on the CPU, float32
python benchmarks/inference.py --device cuda   float32 as the paper's table, on another GPU
python benchmarks/inference.py --quick         an image at a time, one round: printed and not kept

Each network takes images of the size at which the paper evaluates it; weights are random, which
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
    """Two networks at their sizes, and how many times as fast the first is in the paper: their
    images/s there."""

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
    ours, own_macs = running(pair.ours, pair.size, batch, device)
    theirs, macs = running(pair.other, pair.other_size, batch, device)
    seconds = in_turns({"ours": ours, "other": theirs}, rounds, device)
    return {
        "network": pair.ours,
        "image_size": pair.size,
        "macs": own_macs,
        "beside": pair.other,
        "beside_size": pair.other_size,
        "beside_macs": macs,
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
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    # The paper's table is of float32; without this a GPU would round the factors of its products.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    large = given.device == "cuda"
    batch, rounds = (1, 1) if given.quick else (64, 21) if large else (4, 11)
    rows = []
    for pair in PAIRS:
        rows.append(measure(pair, batch, rounds, given.device))
        print(json.dumps(rows[-1]), flush=True)
    if given.quick:
        return
    threads = "" if large else f", {given.threads} thread{'s' if given.threads > 1 else ''}"
    name = "inference" + ("_cuda" if large else "")
    what = (
        f"inference of {batch} images at a time in float32{threads}: medians of {rounds} rounds in "
        f"turns, and all "
        "rounds' range; published are figures of Lee et al. 2020, on a P40"
    )
    keep(name, what, "benchmarks/inference.py" + (" --device cuda" if large else ""), rows=rows)


if __name__ == "__main__":
    main()
