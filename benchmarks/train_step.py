"""A training step of our networks beside timm's networks of the same form.

python benchmarks/train_step.py                         all of them, on the CPU python
benchmarks/train_step.py --device cuda           in bf16, channels last, as a run trains there
python benchmarks/train_step.py --device cuda --compile python benchmarks/train_step.py --quick
small images, a few rounds: printed and not kept

Both networks have the same weights, and their logits are compared before the clock starts. A step
is forward, cross-entropy, backward and SGD with momentum, written once for both. They take turns in
every round, in this process.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import timm
import torch
from torch import nn
from torch.nn import functional

from trials import keep
from trickbag.models import create_model
from turns import beside, in_turns, keep_memory

PAIRS = {
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "resnet50_d": "resnet50d",
    "resnext50_32x4d": "resnext50_32x4d",
    "seresnet50": "seresnet50",
    "skresnet50": "skresnet50",
    "resnetblur50": "resnetblur50",
    "resnetaa50d": "resnetaa50d",
}
SAME = 1e-4
"""Of the largest logit: above it two networks are not the same."""


def stepping(
    network: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, compiled: bool
) -> Callable[[], None]:
    device = images.device.type
    optimizer = torch.optim.SGD(
        network.parameters(), lr=1e-6, momentum=0.9, nesterov=True, fused=True
    )

    def loss() -> torch.Tensor:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            logits = network(images)
        return functional.cross_entropy(logits.float(), labels)

    forward = torch.compile(loss, fullgraph=True, dynamic=False) if compiled else loss

    def step() -> None:
        forward().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def pair(ours: str, theirs: str, device: str) -> dict[str, nn.Module]:
    other = timm.create_model(theirs)
    own = create_model(ours, num_classes=1000)
    own.load_state_dict(other.state_dict())
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        one, two = own.eval()(x), other.eval()(x)
    if not (one - two).abs().max() <= SAME * two.abs().max():
        raise SystemExit(f"{ours} and timm's {theirs} are not the same network")
    layout = torch.channels_last if device == "cuda" else torch.contiguous_format
    return {
        "ours": own.train().to(device, memory_format=layout),
        "timm": other.train().to(device, memory_format=layout),
    }


def measure(ours: str, theirs: str, given: argparse.Namespace) -> dict[str, Any]:
    layout = torch.channels_last if given.device == "cuda" else torch.contiguous_format
    images = torch.randn(given.batch, 3, given.pixels, given.pixels, device=given.device).to(
        memory_format=layout
    )
    labels = torch.randint(1000, (given.batch,), device=given.device)
    step = partial(stepping, images=images, labels=labels, compiled=given.compile)
    jobs = {name: step(network) for name, network in pair(ours, theirs, given.device).items()}
    seconds = in_turns(jobs, given.rounds, given.device)
    torch.compiler.reset()
    return {
        "network": ours,
        "beside": theirs,
        "image_size": given.pixels,
        "batch": given.batch,
        "images_per_s": {name: given.batch / median(times) for name, times in seconds.items()},
        "times_as_fast": {"timm": beside(seconds["ours"], seconds["timm"])},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    parser.add_argument(
        "--only", choices=sorted(PAIRS), action="append", help="some of the networks; not kept"
    )
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    keep_memory()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    large = given.device == "cuda"
    given.batch, given.pixels, given.rounds = (128, 224, 31) if large else (8, 224, 11)
    if given.quick:
        given.batch, given.pixels, given.rounds = 2, 64, 3
    rows = []
    for ours, theirs in PAIRS.items():
        if given.only and ours not in given.only:
            continue
        rows.append(measure(ours, theirs, given))
        print(json.dumps(rows[-1]), flush=True)
    if given.quick or given.only:
        return
    name = "train_step" + ("_cuda" if large else "") + ("_compiled" if given.compile else "")
    how = (
        "bf16, channels last"
        if large
        else f"float32, {given.threads} thread{'s' if given.threads > 1 else ''}"
    )
    what = (
        f"A training step of {given.batch} images of {given.pixels} px beside timm's, {how}"
        f"{', compiled' if given.compile else ''}: medians of {given.rounds} rounds in turns, and "
        f"all rounds' range"
    )
    script = (
        "benchmarks/train_step.py"
        + (" --device cuda" if large else "")
        + " --compile" * given.compile
    )
    keep(name, what, script, rows=rows)


if __name__ == "__main__":
    main()
