"""The sizes of networks that a benchmark counted, compared with published ones and recounted."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from trickbag.models.config import model_names
from trickbag.models.official.networks import official_names

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
COUNTED = json.loads((BENCHMARKS / "results" / "networks.json").read_text())
PUBLISHED = json.loads((BENCHMARKS / "published" / "networks.json").read_text())

ROWS = {
    part: {(row["name"], row["image_size"]): row for row in COUNTED[part]}
    for part in ("networks", "official")
}


@pytest.mark.parametrize(
    "row", PUBLISHED["timm"], ids=lambda row: f"{row['timm']}-{row['image_size']}"
)
def test_networks_of_timm_have_the_published_sizes(row):
    ours = ROWS["networks"][row["name"], row["image_size"]]
    assert round(ours["params"] / 1e6, 3) == row["params_m"]
    assert round(ours["macs"] / 1e9, 4) == row["macs_g"]


@pytest.mark.parametrize(
    "row", PUBLISHED["originals"], ids=lambda row: f"{row['name']}-{row['image_size']}"
)
def test_networks_of_lee_et_al_have_the_published_sizes(row):
    official = ROWS["official"][row["name"], row["image_size"]]
    assert official["params"] == row["params"]
    assert round(official["macs"] / 1e9, 4) == row["macs_g"]
    # A class has 2,048 weights and a bias.
    assert row["params_1000"] == row["params"] - 2049
    if "named" in row:
        ours = ROWS["networks"][row["named"], row["image_size"]]
        assert ours["params"] == row["params_1000"]
        assert round(ours["macs"] / 1e9, 4) == row["macs_g"]


def test_every_name_is_counted():
    assert list(dict.fromkeys(name for name, _ in ROWS["networks"])) == model_names()
    assert list(dict.fromkeys(name for name, _ in ROWS["official"])) == official_names()


@pytest.mark.slow
def test_counting_again_gives_the_same():
    path = BENCHMARKS / "networks.py"
    spec = importlib.util.spec_from_file_location("benchmarks_networks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.count() == COUNTED
