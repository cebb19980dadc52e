"""EfficientNets by the formula and as released, against timm's networks and the paper's figures."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from trickbag.models.config import model_config
from trickbag.models.counting import count_macs, count_params
from trickbag.models.scaling import Factors
from trickbag.models.zoo import build_on_shapes
from trickbag.search.scaling.efficientnet import RELEASED, count_efficientnet, published_family

# Table 2 of the paper: millions of parameters, 10^9 multiply-adds.
PUBLISHED = {
    "efficientnet_b0": (5.3, 0.39),
    "efficientnet_b1": (7.8, 0.70),
    "efficientnet_b2": (9.2, 1.0),
    "efficientnet_b3": (12, 1.8),
    "efficientnet_b4": (19, 4.2),
    "efficientnet_b5": (30, 9.9),
    "efficientnet_b6": (43, 19),
    "efficientnet_b7": (66, 37),
}
SMALL = {"efficientnet_b0", "efficientnet_b1"}


@pytest.mark.parametrize(
    "name",
    [name if name in SMALL else pytest.param(name, marks=pytest.mark.slow) for name in RELEASED],
)
def test_released_networks_are_those_of_timm(name: str) -> None:
    width, depth, size = RELEASED[name]
    network = build_on_shapes(dataclasses.replace(model_config(name), num_classes=1000))
    count = count_efficientnet(Factors(depth=depth, width=width, size=1), size)
    assert count.params == count_params(network)
    assert count.macs == count_macs(network, size)


def test_released_networks_have_about_the_published_work() -> None:
    for _, name, released in published_family():
        params, macs = PUBLISHED[name]
        assert released.params / 1e6 == pytest.approx(params, rel=0.03)
        assert released.macs / 1e9 == pytest.approx(macs, rel=0.05)


def test_the_formula_gives_other_networks() -> None:
    rows = published_family()
    formula, name, released = rows[1]
    assert (formula.factors, formula.image_size) == (Factors(depth=1.2, width=1.1, size=1.15), 258)
    assert (name, released.factors.width, released.factors.depth, released.image_size) == (
        "efficientnet_b1",
        1.0,
        1.1,
        240,
    )
    base, _, b0 = rows[0]
    assert base == b0
    assert all(row[0].params > row[2].params for row in rows[1:])
    # The product of the constants is 1.92. A single block is two at once when rounded up, so that
    # the first step has 2.57 times the work.
    for less, more in itertools.pairwise(rows):
        assert 1.7 < more[0].macs / less[0].macs < 2.6


def test_sizes_that_are_no_squares() -> None:
    factors = Factors(depth=1.3, width=0.7, size=1)
    assert count_efficientnet(factors, (96, 64)) == count_efficientnet(factors, (64, 96))
    square = count_efficientnet(factors, 64)
    assert count_efficientnet(factors, (64, 64)) == square
    assert square.params == count_efficientnet(factors, 640).params
