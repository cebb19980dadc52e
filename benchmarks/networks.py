"""Count the parameters and multiply-adds of every named network, beside published figures.

python benchmarks/networks.py   write benchmarks/results/networks.json; then run
                                python benchmarks/tables.py

Nothing is measured: the figures do not depend on the machine. Image sizes are those that a network
is made for (224 px for our own), and those of benchmarks/published/networks.json.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trickbag.models import build_network
from trickbag.models.config import OwnConfig, model_config, model_names
from trickbag.models.counting import count_macs, count_params
from trickbag.models.image_size import default_image_size
from trickbag.models.official.networks import OFFICIAL_CLASSES, official_config, official_names
from trickbag.models.zoo import raw_network

ROOT = Path(__file__).parent
PUBLISHED = ROOT / "published" / "networks.json"
RESULT = ROOT / "results" / "networks.json"

CLASSES = 1000


def shapes_only(name: str, *, official: bool = False) -> nn.Module:
    """Build a network without values: only the shapes count."""
    if official:
        config = official_config(name)
    else:
        config = dataclasses.replace(model_config(name), num_classes=CLASSES)
    with torch.device("meta"):
        return (
            raw_network(config) if isinstance(config, OwnConfig) else build_network(config, seed=0)
        )


def counted(name: str, sizes: list[int], *, official: bool = False) -> Iterator[dict[str, Any]]:
    network = shapes_only(name, official=official)
    params = count_params(network)
    for size in sizes:
        yield {
            "name": name,
            "image_size": size,
            "params": params,
            "macs": count_macs(network, size),
        }


def named_sizes(name: str, published: dict[str, Any]) -> list[int]:
    of_name = [row["image_size"] for row in published["timm"] if row["name"] == name]
    of_name += [row["image_size"] for row in published["originals"] if row.get("named") == name]
    return sorted({default_image_size(model_config(name)).image_size, *of_name})


def count() -> dict[str, Any]:
    published = json.loads(PUBLISHED.read_text())
    official = {
        name: sorted({row["image_size"] for row in published["originals"] if row["name"] == name})
        for name in official_names()
    }
    return {
        "script": "benchmarks/networks.py",
        "classes": CLASSES,
        "official_classes": OFFICIAL_CLASSES,
        "networks": [
            row for name in model_names() for row in counted(name, named_sizes(name, published))
        ],
        "official": [
            row for name, sizes in official.items() for row in counted(name, sizes, official=True)
        ],
    }


if __name__ == "__main__":
    RESULT.write_text(json.dumps(count(), indent=1) + "\n")
