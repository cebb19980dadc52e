"""Measure a training step of our networks beside timm's networks of the same form.

python benchmarks/train_step.py                           all of them, on the CPU
python benchmarks/train_step.py --device cuda             in bf16, channels last, as in a run
python benchmarks/train_step.py --device cuda --compile   the same, compiled
python benchmarks/train_step.py --quick                   small images, a few rounds: not kept

Both networks have the same weights, and their logits are compared before the clock starts. A step
is forward, cross-entropy, backward and SGD with momentum; its code is the same for both. They take
turns in every round, in this process.
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
TOLERANCE = 1e-4
"""Largest difference between logits of the same network, as a fraction of the largest logit."""


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


def pair(ours: str, timms: str, device: str) -> dict[str, nn.Module]:
    other = timm.create_model(timms)
    network = create_model(ours, num_classes=1000)
    network.load_state_dict(other.state_dict())
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits, expected = network.eval()(x), other.eval()(x)
    if not (logits - expected).abs().max() <= TOLERANCE * expected.abs().max():
        raise SystemExit(f"{ours} and timm's {timms} are not the same network")
    layout = torch.channels_last if device == "cuda" else torch.contiguous_format
    return {
        "ours": network.train().to(device, memory_format=layout),
        "timm": other.train().to(device, memory_format=layout),
    }


def measure(ours: str, timms: str, args: argparse.Namespace) -> dict[str, Any]:
    layout = torch.channels_last if args.device == "cuda" else torch.contiguous_format
    images = torch.randn(args.batch, 3, args.pixels, args.pixels, device=args.device).to(
        memory_format=layout
    )
    labels = torch.randint(1000, (args.batch,), device=args.device)
    step = partial(stepping, images=images, labels=labels, compiled=args.compile)
    jobs = {name: step(network) for name, network in pair(ours, timms, args.device).items()}
    seconds = in_turns(jobs, args.rounds, args.device)
    torch.compiler.reset()
    return {
        "network": ours,
        "beside": timms,
        "image_size": args.pixels,
        "batch": args.batch,
        "images_per_s": {name: args.batch / median(times) for name, times in seconds.items()},
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
    args = parser.parse_args()
    keep_memory()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    on_gpu = args.device == "cuda"
    args.batch, args.pixels, args.rounds = (128, 224, 31) if on_gpu else (8, 224, 11)
    if args.quick:
        args.batch, args.pixels, args.rounds = 2, 64, 3
    rows = []
    for ours, timms in PAIRS.items():
        if args.only and ours not in args.only:
            continue
        rows.append(measure(ours, timms, args))
        print(json.dumps(rows[-1]), flush=True)
    if args.quick or args.only:
        return
    name = "train_step" + ("_cuda" if on_gpu else "") + ("_compiled" if args.compile else "")
    threads = f"{args.threads} thread{'s' if args.threads > 1 else ''}"
    arithmetic = "bf16, channels last" if on_gpu else f"float32, {threads}"
    description = (
        f"A training step of {args.batch} images of {args.pixels} px beside timm's, "
        f"{arithmetic}{', compiled' if args.compile else ''}: medians of {args.rounds} rounds in "
        "turns, and all rounds' range"
    )
    options = (" --device cuda" if on_gpu else "") + (" --compile" if args.compile else "")
    keep(name, description, f"benchmarks/train_step.py{options}", rows=rows)


if __name__ == "__main__":
    main()
