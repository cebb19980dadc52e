"""Train detectors and segmenters at full size, beside torchvision's own with the same budget.

python benchmarks/transfer_gpu.py FOLDER [--backbone RUN]   on a GPU
python benchmarks/transfer_gpu.py FOLDER --tiny             on a CPU, in minutes: does it run?

FOLDER holds bccd/ and camvid-small/. Both train a ResNet-50 from new weights; with --backbone ours
also starts from a run. Ours is the recipe `detection` or `segmentation`. Torchvision's are
`fasterrcnn_resnet50_fpn` and `fcn_resnet50` with the auxiliary head, with the optimizer and the
schedule of its reference scripts (references/detection and references/segmentation of
pytorch/vision): for 8 images a step SGD of rate 0.02 x 8/16, divided by 10 after 16/26 and 22/26 of
the steps; for 8 images SGD of rate 0.01 with a polynomial decay of 0.9, and an auxiliary loss of
weight 0.5. Both see as many images, of the same size, and are judged by the same metrics on the
test images after the last step. Results are kept in benchmarks/results/transfer_gpu.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from studies import linked
from trials import ROOT, keep
from trickbag import recipes
from trickbag.data.annotations.boxes.part import BoxPart
from trickbag.data.annotations.masks.part import MaskPart
from trickbag.data.dataset import Dataset, prepare
from trickbag.metrics.detection import DetectedImage, rank_detections, voc_metrics
from trickbag.metrics.segmentation import IGNORED, PixelCounter
from trickbag.recipe import Recipe
from trickbag.recipes.backbone import with_backbone
from trickbag.streams import stream
from trickbag.train.fit import fit

DATA = {"detection": "bccd", "segmentation": "camvid-small"}
METRIC = {"detection": "map50", "segmentation": "miou"}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Budget:
    """What both have: the network's depth, sides of the image, epochs, images of a step."""

    depth: int = 50
    detection: tuple[int, int] = (600, 800)
    segmentation: tuple[int, int] = (360, 480)
    epochs: int = 26
    batch_size: int = 8
    seeds: int = 3
    images: int | None = None
    """The most training images; None for all."""


TINY = Budget(
    depth=18, detection=(64, 96), segmentation=(64, 96), epochs=1, batch_size=2, seeds=1, images=8
)


def recipe_of(task: str, data: str, budget: Budget, device: str) -> Recipe:
    """Return our recipe of a task, with the budget."""
    height, width = getattr(budget, task)
    recipe = recipes.RECIPES[task](data=data, model=f"resnet{budget.depth}")
    settings = {
        "data.image_size": f"{height}x{width}",
        "training.epochs": str(budget.epochs),
        "training.batch_size": str(budget.batch_size),
        "training.device": device,
        "training.keep": "last",
    }
    if task == "segmentation":
        settings["training.lr"] = "0.01"
    return recipe.set_all(settings)


def limited(dataset: Dataset, images: int | None) -> Dataset:
    """Return a data set with the first training and test images alone."""
    if images is None:
        return dataset
    rows = np.arange(images)
    test = None if dataset.test is None else dataset.test.subset(rows)
    return dataclasses.replace(
        dataset, train=dataset.train.subset(rows), val=dataset.val.subset(rows), test=test
    )


def ours(recipe: Recipe, dataset: Dataset, seed: int, out: Path) -> dict[str, Any]:
    """Train with the trainer of this package, or go on with it; return its metrics."""
    started = time.perf_counter()
    result = fit(recipe, seed, out, resume=True, dataset=dataset)
    metric = f"test_{METRIC[recipe.task.kind]}"
    return {"value": result.metrics[metric], "seconds": time.perf_counter() - started}


def batches(count: int, budget: Budget, seed: int) -> Iterator[np.ndarray]:
    """Yield the places of the images of each step; every epoch has all images but a remainder."""
    for epoch in range(budget.epochs):
        order = stream(seed, "order", epoch).permutation(count)
        for start in range(0, count - budget.batch_size + 1, budget.batch_size):
            yield order[start : start + budget.batch_size]


def as_tensor(image_HWC: np.ndarray, device: torch.device) -> Tensor:
    """Return an image as float32 from 0 to 1, (3, H, W)."""
    return torch.tensor(image_HWC, device=device).permute(2, 0, 1).float() / 255


def train(
    network: nn.Module,
    loss: Callable[[np.ndarray, np.random.Generator], Tensor],
    optimizer: torch.optim.Optimizer,
    schedule: Callable[[float], float],
    steps: list[np.ndarray],
    seed: int,
) -> None:
    """Train a network; `schedule` maps the share of the run to a factor of the rate."""
    # Torchvision's warm-up: from a thousandth, over the first steps.
    warm = min(1000, len(steps) // 10 + 1)
    factors = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: schedule(i / len(steps)) * min(1.0, 0.001 + i / warm)
    )
    rng = stream(seed, "flip")
    network.train()
    for places in steps:
        optimizer.zero_grad()
        loss(places, rng).backward()
        optimizer.step()
        factors.step()


def sgd(network: nn.Module, lr: float) -> torch.optim.Optimizer:
    parameters = [p for p in network.parameters() if p.requires_grad]
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=1e-4)


def torchvision_detector(dataset: Dataset, budget: Budget, seed: int, device: str) -> float:
    """Train torchvision's Faster R-CNN; return its mAP at 0.5 on the test images."""
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.models.detection.faster_rcnn import FasterRCNN

    torch.manual_seed(seed)
    parts = dataset.train, dataset.test
    assert isinstance(parts[0], BoxPart)
    assert isinstance(parts[1], BoxPart)
    training, tested = parts[0], parts[1]
    backbone = resnet_fpn_backbone(
        backbone_name=f"resnet{budget.depth}",
        weights=None,
        norm_layer=nn.BatchNorm2d,
        trainable_layers=5,
    )
    shorter, longer = budget.detection
    network = FasterRCNN(backbone, len(dataset.classes) + 1, min_size=shorter, max_size=longer).to(
        device
    )
    place = torch.device(device)

    def loss(places: np.ndarray, rng: np.random.Generator) -> Tensor:
        images, targets = [], []
        for i in places:
            image, objects_M6 = as_tensor(training.read(i), place), training.boxes(i)
            objects_M6 = objects_M6[objects_M6[:, 5] == 0]
            boxes_M4 = torch.tensor(objects_M6[:, 1:5], dtype=torch.float32, device=place)
            if rng.random() < 0.5:
                image, width = image.flip(2), image.shape[2]
                boxes_M4[:, [0, 2]] = width - boxes_M4[:, [2, 0]]
            labels = torch.tensor(objects_M6[:, 0], device=place).long() + 1
            images.append(image)
            targets.append({"boxes": boxes_M4, "labels": labels})
        losses: dict[str, Tensor] = network(images, targets)
        return torch.stack(list(losses.values())).sum()

    steps = list(batches(len(training), budget, seed))
    rate = 0.02 * budget.batch_size / 16
    milestones = (16 / 26, 22 / 26)
    train(
        network,
        loss,
        sgd(network, rate),
        lambda share: 0.1 ** sum(share >= milestone for milestone in milestones),
        steps,
        seed,
    )
    network.eval()
    detected = []
    with torch.no_grad():
        for i in range(len(tested)):
            (each,) = network([as_tensor(tested.read(i), place)])
            columns = (each["labels"][:, None] - 1, each["boxes"], each["scores"][:, None])
            found_M6 = torch.cat([column.double().cpu() for column in columns], dim=1).numpy()
            detected.append(DetectedImage(i, tested.boxes(i), found_M6))
    metrics = voc_metrics(rank_detections(detected, len(dataset.classes)))
    return float(metrics["map50"] or 0.0)


def torchvision_segmenter(dataset: Dataset, budget: Budget, seed: int, device: str) -> float:
    """Train torchvision's FCN; return its mean IoU on the test images."""
    from torchvision.models import segmentation

    torch.manual_seed(seed)
    training, tested = dataset.train, dataset.test
    assert isinstance(training, MaskPart)
    assert isinstance(tested, MaskPart)
    classes, place = len(dataset.classes), torch.device(device)
    network = segmentation.fcn_resnet50(
        weights=None, weights_backbone=None, num_classes=classes, aux_loss=True
    ).to(device)
    mean, std = (torch.tensor(v, device=place)[None, :, None, None] for v in (MEAN, STD))
    height, width = budget.segmentation

    def cut(i: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return an image and its mask, scaled by 0.5 to 2, cut out at random, mirrored."""
        image = as_tensor(training.read(i), place)[None]
        mask = torch.tensor(training.mask(i), device=place)[None, None].float()
        scale = rng.uniform(0.5, 2.0) * min(height / image.shape[2], width / image.shape[3])
        image = functional.interpolate(image, scale_factor=scale, mode="bilinear", antialias=True)
        mask = functional.interpolate(mask, size=image.shape[2:], mode="nearest")
        below, right = max(0, height - image.shape[2]), max(0, width - image.shape[3])
        image = functional.pad(image, (0, right, 0, below))
        mask = functional.pad(mask, (0, right, 0, below), value=IGNORED)
        top = int(rng.integers(image.shape[2] - height + 1))
        left = int(rng.integers(image.shape[3] - width + 1))
        window = (..., slice(top, top + height), slice(left, left + width))
        image, mask = image[window], mask[window]
        return (image.flip(3), mask.flip(3)) if rng.random() < 0.5 else (image, mask)

    def loss(places: np.ndarray, rng: np.random.Generator) -> Tensor:
        images, masks = zip(*(cut(int(i), rng) for i in places), strict=True)
        outputs = network((torch.cat(images) - mean) / std)
        target = torch.cat(masks)[:, 0].long()
        main, auxiliary = (
            functional.cross_entropy(outputs[name], target, ignore_index=IGNORED)
            for name in ("out", "aux")
        )
        return main + 0.5 * auxiliary

    steps = list(batches(len(training), budget, seed))
    train(network, loss, sgd(network, 0.01), lambda share: (1 - share) ** 0.9, steps, seed)
    network.eval()
    counter = PixelCounter(classes, torch.device("cpu"))
    with torch.no_grad():
        for i in range(len(tested)):
            mask = torch.tensor(tested.mask(i))
            image = as_tensor(tested.read(i), place)[None]
            image = functional.interpolate(
                image, size=(height, width), mode="bilinear", antialias=True
            )
            logits = network((image - mean) / std)["out"]
            logits = functional.interpolate(logits, size=mask.shape, mode="bilinear")
            counter.add(logits.argmax(dim=1)[0].cpu(), mask)
    return float(counter.counts().metrics()["miou"] or 0.0)


REFERENCES = {"detection": torchvision_detector, "segmentation": torchvision_segmenter}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--backbone", help="a run from which ours starts too")
    args = parser.parse_args()
    budget = TINY if args.tiny else Budget()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    results: dict[str, Any] = {}
    for task, data in DATA.items():
        recipe = recipe_of(task, linked(args.folder / data, data), budget, device)
        dataset = limited(prepare(recipe.data, annotations=recipe.task.annotations), budget.images)
        starts = {"ours": recipe}
        if args.backbone:
            starts["ours, from a run"] = with_backbone(recipe, args.backbone)
        results[task] = {label: [] for label in (*starts, "torchvision")}
        for seed in range(budget.seeds):
            for label, start in starts.items():
                name = f"transfer_gpu{'_tiny' * args.tiny}"
                out = ROOT / "runs" / "benchmarks" / name / f"{task}-{label}-{seed}"
                results[task][label].append(ours(start, dataset, seed, out))
            started = time.perf_counter()
            value = REFERENCES[task](dataset, budget, seed, device)
            seconds = time.perf_counter() - started
            results[task]["torchvision"].append({"value": value, "seconds": seconds})
            print(task, {label: runs[-1] for label, runs in results[task].items()}, flush=True)
    if not args.tiny:
        description = "detectors and segmenters at full size, beside torchvision's own"
        keep("transfer_gpu", description, "benchmarks/transfer_gpu.py", tasks=results)


if __name__ == "__main__":
    main()
