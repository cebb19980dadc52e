"""Whole training runs of others: the loops of timm and torchvision, each as a program of its own.

python benchmarks/epoch_loops.py timm|torchvision DATA --epochs N ...   called by epoch_peers.py

Both are written with the projects' own functions, as their scripts have them: the images are read,
cropped and mirrored in worker processes, each epoch ends with an evaluation of all of val, and the
last line printed is a JSON object with the seconds of the training alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trickbag.train.machine.device import autocast, autocast_dtype

LR, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4


class Loop:
    """A network, its optimizer and its loaders; `train` and `evaluate` go through one epoch."""

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, args: argparse.Namespace
    ) -> None:
        self.network, self.optimizer, self.args = network, optimizer, args
        self.device = torch.device(args.device)
        self.layout = torch.channels_last if args.channels_last else torch.contiguous_format
        self.dtype = autocast_dtype(args.precision)
        self.criterion = nn.CrossEntropyLoss()
        network.to(self.device, memory_format=self.layout)

    def _placed(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        images = images.to(self.device, non_blocking=True).contiguous(memory_format=self.layout)
        return images, labels.to(self.device, non_blocking=True)

    def train(self, batches: Iterable[Any]) -> float:
        """Train an epoch; return its seconds."""
        self.network.train()
        started = time.perf_counter()
        for images, labels in batches:
            images, labels = self._placed(images, labels)
            with autocast(self.device, self.dtype):
                loss = self.criterion(self.network(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    def evaluate(self, batches: Iterable[Any]) -> float:
        """Return the top-1 accuracy in percent."""
        self.network.eval()
        right = count = 0
        with torch.inference_mode():
            for images, labels in batches:
                images, labels = self._placed(images, labels)
                with autocast(self.device, self.dtype):
                    right += int((self.network(images).argmax(1) == labels).sum())
                count += len(labels)
        return 100 * right / count


def timm_sides(args: argparse.Namespace) -> tuple[Loop, Any, Any]:
    """Return the loop and the loaders of timm's train.py, with crops and mirrors alone."""
    import timm
    from timm.data import create_dataset, create_loader, resolve_data_config
    from timm.optim import create_optimizer_v2

    parts = [
        create_dataset("", root=args.data, split=split, is_training=split == "train")
        for split in ("train", "val")
    ]
    classes = len(parts[0].reader.class_to_idx)
    network = timm.create_model(args.network, num_classes=classes)
    config = resolve_data_config({"img_size": args.pixels}, model=network)
    loaders = [
        create_loader(
            part,
            input_size=(3, args.pixels, args.pixels),
            batch_size=args.batch,
            is_training=i == 0,
            color_jitter=0.0,
            interpolation="bilinear",
            mean=config["mean"],
            std=config["std"],
            num_workers=args.workers,
            persistent_workers=args.workers > 0,
            device=torch.device(args.device),
            use_prefetcher=True,
        )
        for i, part in enumerate(parts)
    ]
    optimizer = create_optimizer_v2(
        network, opt="sgd", lr=LR, weight_decay=WEIGHT_DECAY, momentum=MOMENTUM
    )
    return Loop(network, optimizer, args), *loaders


def torchvision_sides(args: argparse.Namespace) -> tuple[Loop, Any, Any]:
    """Return the loop and the loaders of torchvision's reference script: PIL in, tensors out."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, models
    from torchvision import transforms as T  # noqa: N812  # torchvision's own way to name it

    end = [T.ToTensor(), T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    train = T.Compose([T.RandomResizedCrop(args.pixels), T.RandomHorizontalFlip(), *end])
    resized = round(args.pixels * 8 / 7)
    evaluation = T.Compose([T.Resize(resized), T.CenterCrop(args.pixels), *end])
    parts = [
        datasets.ImageFolder(str(Path(args.data) / split), transform)
        for split, transform in (("train", train), ("val", evaluation))
    ]
    loaders = [
        DataLoader(
            part,
            batch_size=args.batch,
            shuffle=i == 0,
            drop_last=i == 0,
            num_workers=args.workers,
            persistent_workers=args.workers > 0,
            pin_memory=args.device == "cuda",
        )
        for i, part in enumerate(parts)
    ]
    network = models.get_model(args.network, weights=None, num_classes=len(parts[0].classes))
    optimizer = torch.optim.SGD(
        network.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    return Loop(network, optimizer, args), *loaders


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=("timm", "torchvision"))
    parser.add_argument("data")
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--pixels", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    torch.manual_seed(0)
    sides = {"timm": timm_sides, "torchvision": torchvision_sides}
    loop, training, evaluation = sides[args.side](args)
    train_s, top1 = 0.0, 0.0
    for _ in range(args.epochs):
        train_s += loop.train(training)
        top1 = loop.evaluate(evaluation)
    print(json.dumps({"train_s": train_s, "top1": top1, "steps": len(training) * args.epochs}))


if __name__ == "__main__":
    main()
