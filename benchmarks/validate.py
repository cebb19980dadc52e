"""Measure the evaluation of a network of timm beside the loop of timm's validate.py.

python benchmarks/validate.py DATA           real images: a folder of class folders, or of val/
python benchmarks/validate.py DATA --quick   8 images, two rounds: not kept

timm's loop is written with timm's own functions, as its script has it with these flags: `--amp
--amp-dtype bfloat16 --channels-last`, or none. Both sides read the same files in the same process,
with one thread and no worker processes, and take turns. Times are the processor's, so that other
work on the machine counts little. `network` rows compute the same batch in memory, and ONNX Runtime
stands beside them. Weights are the network's initial ones, which changes no time.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import timm
import torch
from timm.data import ImageDataset, create_loader, resolve_data_config
from timm.utils import AverageMeter, accuracy
from torch import nn

from trials import keep
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.data.source import FilePart
from trickbag.evaluate.network import initial_network
from trickbag.evaluate.trained import Trained
from trickbag.models.folding import fold_batch_norms
from trickbag.tasks import task_of
from trickbag.train.loaders import evaluation_loader
from trickbag.train.machine.device import autocast_dtype, in_layout
from trickbag.train.validate import validate
from turns import beside, keep_memory

NETWORK = "resnet50"
BATCH = 8


class Files:
    """The files of a part, as timm's data sets read them."""

    def __init__(self, part: FilePart) -> None:
        self.part = part

    def __getitem__(self, i: int) -> tuple[Any, int]:
        return Path(self.part.path(i)).open("rb"), int(self.part.labels[i])

    def __len__(self) -> int:
        return len(self.part)


def validating_with_timm(network: nn.Module, part: FilePart, *, reduced: bool) -> Callable[[], Any]:
    """Return the loop of timm's validate.py on the CPU."""
    config = resolve_data_config({}, model=network)
    dataset = ImageDataset("", reader=Files(part))
    loader = create_loader(
        dataset,
        input_size=config["input_size"],
        batch_size=BATCH,
        use_prefetcher=False,
        interpolation=config["interpolation"],
        mean=config["mean"],
        std=config["std"],
        num_workers=0,
        crop_pct=config["crop_pct"],
        crop_mode=config["crop_mode"],
        device=torch.device("cpu"),
    )
    layout = torch.channels_last if reduced else torch.contiguous_format
    network = network.to(memory_format=layout).eval()
    criterion = nn.CrossEntropyLoss()

    def once() -> tuple[float, float]:
        losses, top1 = AverageMeter(), AverageMeter()
        with torch.inference_mode():
            for images, labels in loader:
                images = images.contiguous(memory_format=layout)
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=reduced):
                    logits = network(images)
                    loss = criterion(logits, labels)
                (acc1, _) = accuracy(logits.detach(), labels, topk=(1, 5))
                losses.update(loss.item(), images.size(0))
                top1.update(acc1.item(), images.size(0))
        return losses.avg, top1.avg

    return once


def validating(trained: Trained, part: FilePart, data: DataConfig) -> Callable[[], Any]:
    """Return what `trickbag evaluate` does."""
    loader = evaluation_loader(
        part, data, trained.preprocessing, batch_size=BATCH, workers=0, device="cpu"
    )
    task = task_of(trained.task, num_classes=len(trained.classes), multi_label=False)

    def once() -> tuple[float, float]:
        validation = validate(
            trained.network,
            loader,
            task=task,
            preprocessing=trained.preprocessing,
            device=trained.device,
            autocast_dtype=autocast_dtype(trained.precision),
            layout=trained.layout,
        )
        assert not isinstance(validation, str)
        metrics = validation.metrics
        return float(metrics["loss"] or 0), float(metrics["top1"] or 0)

    return once


def with_onnxruntime(network: nn.Module, images: torch.Tensor) -> Callable[[], Any]:
    """Return the call of ONNX Runtime on a batch, with one thread."""
    import io

    import onnxruntime

    file = io.BytesIO()
    torch.onnx.export(network, (images,), file, dynamo=False, input_names=["images"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        file.getvalue(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"images": images.numpy()})


def on_batch(network: nn.Module, images: torch.Tensor, trained: Trained) -> Callable[[], Any]:
    def once() -> Any:
        dtype = autocast_dtype(trained.precision)
        with torch.inference_mode(), torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            return network(in_layout(images, trained.layout))

    return once


def in_turns(jobs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Return the processor's seconds of each job in each round, after a round of warming up."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name in list(jobs) if number % 2 == 0 else list(jobs)[::-1]:
            started = time.process_time()
            jobs[name]()
            if number:
                seconds[name].append(time.process_time() - started)
    return seconds


def rows_of(
    jobs: dict[str, Callable[[], Any]], reference: str, images: int, rounds: int
) -> list[dict[str, Any]]:
    seconds = in_turns(jobs, rounds)
    return [
        {
            "way": name,
            "images_per_s": images / median(times),
            "repetitions_s": times,
            "times_as_fast": beside(times, seconds[reference]),
        }
        for name, times in seconds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", metavar="DATA")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    count, rounds = (8, 2) if args.quick else (16, 3)
    data = DataConfig(source=args.data)
    part = prepare(data).val
    assert isinstance(part, FilePart)
    part = part.subset(np.linspace(0, len(part) - 1, count).astype(int))
    exact = initial_network(f"timm:{NETWORK}", "cpu", "float32")
    reduced = initial_network(f"timm:{NETWORK}", "cpu", "bf16")
    reduced.network.to(memory_format=torch.channels_last)
    reduced = replace(reduced, layout="channels_last")
    timms = timm.create_model(NETWORK)
    folded = copy.deepcopy(reduced.network)
    fold_batch_norms(folded)
    jobs = {
        "evaluate, float32": validating(exact, part, data),
        "timm, float32": validating_with_timm(copy.deepcopy(timms), part, reduced=False),
        "evaluate, bf16, channels last": validating(reduced, part, data),
        "timm, bf16, channels last": validating_with_timm(timms, part, reduced=True),
    }
    rows = rows_of(jobs, "timm, bf16, channels last", count, rounds)
    print(json.dumps(rows), flush=True)
    images = torch.randn(BATCH, 3, 224, 224)
    folded_exact = copy.deepcopy(exact.network)
    fold_batch_norms(folded_exact)
    calls = {
        "network, float32": on_batch(exact.network, images, exact),
        "network, float32, folded": on_batch(folded_exact, images, exact),
        "network, bf16, channels last": on_batch(reduced.network, images, reduced),
        "network, bf16, channels last, folded": on_batch(folded, images, reduced),
        "ONNX Runtime, float32": with_onnxruntime(exact.network, images),
    }
    rows += rows_of(calls, "network, float32", BATCH, rounds)
    print(json.dumps(rows[4:]), flush=True)
    if not args.quick:
        keep(
            "validate",
            f"evaluating {NETWORK} on {count} photos at 224 px in batches of {BATCH}, one thread, "
            f"no worker processes, processor time: medians of {rounds} rounds in turns; rows of "
            "files beside timm's best flags, rows of a batch in memory beside float32",
            "benchmarks/validate.py DATA",
            evaluated=rows,
        )


if __name__ == "__main__":
    main()
