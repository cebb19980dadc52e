"""Training steps of one network on batches in memory: ours, timm's and a plain loop's.

Each side is a function that takes one whole step, from bytes to updated weights, written as its
project writes it. `ours` is the step of a run: the same plan, tricks, optimizer and compilation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.optim import create_optimizer_v2
from timm.utils import AverageMeter
from torch import Tensor, nn
from torch.nn import functional

from trickbag.data.dataset import Dataset
from trickbag.data.loading.raw_batch import RawBatch
from trickbag.recipe import Recipe
from trickbag.train.build import build
from trickbag.train.checkpoint import Progress
from trickbag.train.machine.device import autocast, autocast_dtype
from trickbag.train.plan.resolve import resolve
from trickbag.train.run import Run
from trickbag.train.trainer import train_on

__all__ = [
    "Setting",
    "built_run",
    "float32_precision",
    "our_step",
    "plain_step",
    "random_batch",
    "timm_step",
]

LR, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all sides of a comparison share.

    - network: a name that both we and timm have, such as resnet50.
    - precision: float32, bf16 or fp16. tf32: whether float32 may be computed in TF32 on a GPU.
    """

    network: str = "resnet50"
    classes: int = 1000
    pixels: int = 224
    batch: int = 32
    precision: str = "float32"
    tf32: bool = False
    channels_last: bool = False
    compiled: bool = False
    device: str = "cpu"

    @property
    def layout(self) -> torch.memory_format:
        """The memory layout of images and weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format


@contextmanager
def float32_precision(*, tf32: bool) -> Iterator[None]:
    """Let float32 be computed on a GPU as it is, or with the 10 bits of TF32."""
    cudnn = torch.backends.cudnn
    before, products = cudnn.allow_tf32, torch.get_float32_matmul_precision()
    # The older name of the setting: where the newer ones of convolutions and recurrent layers are
    # set, torch can refuse to read this one, as its compiler does.
    cudnn.allow_tf32 = tf32
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        cudnn.allow_tf32 = before
        torch.set_float32_matmul_precision(products)


def random_batch(setting: Setting) -> RawBatch:
    """Return a batch of random bytes on the device."""
    generator = torch.Generator().manual_seed(0)
    n, side = setting.batch, setting.pixels
    images = torch.randint(0, 256, (n, 3, side, side), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, setting.classes, (n,), generator=generator)
    tensors = (
        images,
        labels,
        torch.arange(n),
        torch.ones(n, dtype=torch.bool),
        torch.empty(n, 0, 0),
        torch.empty(n, 0, dtype=torch.int64),
    )
    return RawBatch(*(tensor.to(setting.device) for tensor in tensors))


def built_run(recipe: Recipe, dataset: Dataset, setting: Setting) -> Run:
    """Build the run of a recipe for the images and classes of a setting, whatever the data's."""
    recipe = recipe.set_all(
        {
            "data.image_size": str(setting.pixels),
            "data.workers": "0",
            "training.device": setting.device,
            "training.precision": setting.precision,
            "training.layout": "channels_last" if setting.channels_last else "contiguous",
            "training.compile": "on" if setting.compiled else "off",
        }
    )
    plan, _ = resolve(recipe, dataset, seed=0)
    plan = dataclasses.replace(
        plan,
        model=dataclasses.replace(plan.model, num_classes=setting.classes),
        training=dataclasses.replace(plan.training, batch_size=setting.batch),
    )
    return build(plan, recipe.tricks, dataset)[0]


def our_step(run: Run, raw: RawBatch) -> Callable[[], Any]:
    """Return the step of a run on a batch, which lies in memory as its loader would lay it."""
    if run.pipeline.takes_channels_last:
        raw = raw._replace(images=raw.images.contiguous(memory_format=torch.channels_last))
    progress = Progress.start(run.device)
    run.begin_epoch(0)
    valid = len(raw.images) / run.plan.repeats

    def step() -> None:
        progress.step %= run.plan.steps_per_epoch
        train_on(run, raw, valid, progress)

    return step


def timm_step(
    setting: Setting, raw: RawBatch, network: nn.Module | None = None
) -> Callable[[], Any]:
    """Return a step as timm's train.py takes it: its prefetcher, autocast, optimizer and meters.

    `network` is by default timm's of the name.
    """
    if network is None:
        network = timm.create_model(setting.network, num_classes=setting.classes)
    network = network.to(setting.device, memory_format=setting.layout).train()
    optimizer = create_optimizer_v2(
        network, opt="sgd", lr=LR, weight_decay=WEIGHT_DECAY, momentum=MOMENTUM
    )
    scaler = torch.amp.GradScaler(setting.device, enabled=setting.precision == "fp16")
    # As with --torchcompile: the network alone.
    forward = torch.compile(network) if setting.compiled else network
    criterion = nn.CrossEntropyLoss()
    mean, std = (
        torch.tensor(values, device=setting.device).view(1, 3, 1, 1) for values in (MEAN, STD)
    )
    losses = AverageMeter()
    dtype = autocast_dtype(setting.precision)  # type: ignore[arg-type]

    def step() -> None:
        images = raw.images.to(torch.float32).sub_(mean).div_(std)
        images = images.contiguous(memory_format=setting.layout)
        with autocast(torch.device(setting.device), dtype):
            loss = criterion(forward(images), raw.labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        # train.py reads the loss only where it logs, each 50th step by default.
        losses.update(loss.detach(), len(images))  # type: ignore[arg-type]

    return step


def plain_step(network: nn.Module, setting: Setting, raw: RawBatch) -> Callable[[], Any]:
    """Return the step of a plain loop, as in torchvision's reference scripts."""
    network = network.to(setting.device, memory_format=setting.layout).train()
    optimizer = torch.optim.SGD(
        network.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    scaler = torch.amp.GradScaler(setting.device, enabled=setting.precision == "fp16")
    forward = torch.compile(network) if setting.compiled else network
    mean, std = (
        torch.tensor(values, device=setting.device).view(1, 3, 1, 1) for values in (MEAN, STD)
    )
    dtype = autocast_dtype(setting.precision)  # type: ignore[arg-type]

    def step() -> Tensor:
        images = ((raw.images.float() - mean) / std).contiguous(memory_format=setting.layout)
        with autocast(torch.device(setting.device), dtype):
            loss = functional.cross_entropy(forward(images), raw.labels)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    return step
