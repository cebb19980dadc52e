"""Tricks on networks that have a place for some of them alone: every row says why it is empty."""

from __future__ import annotations

from pathlib import Path

import pytest

import trickbag as tb
from tests.builders.recipes import study_recipe
from trickbag.data.dataset import Dataset, prepare
from trickbag.study.study import Study
from trickbag.tricks.activation import Activation
from trickbag.tricks.anti_alias import AntiAlias
from trickbag.tricks.squeeze_excite import SqueezeExcite
from trickbag.tricks.zero_init_residual import ZeroInitResidual

TRICKS = (SqueezeExcite(), AntiAlias(), Activation(), ZeroInitResidual())
NAMES = tuple(trick.name for trick in TRICKS)
REASONS = {
    "resnet18": {},
    "timm:mobilenetv3_small_050": {
        "squeeze_excite": "it has gates over channels or pixels of its own"
    },
    "timm:convnext_atto": {
        "squeeze_excite": "12 of its 12 residual branches end in Conv2d, not in a normalisation "
        "with a scale",
        "anti_alias": "nothing in it skips pixels in branch, as the windows of its strided "
        "convolutions do not overlap",
        "zero_init_residual": "12 of its 12 residual branches end in Conv2d, not in a "
        "normalisation with a scale",
    },
    "timm:vgg11": {
        "squeeze_excite": "it has no residual branches",
        "anti_alias": "nothing in it skips pixels in branch, but in stem",
        "zero_init_residual": "it has no residual branches",
    },
}


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(study_recipe(pictures).data)


# vgg11 has 129 million parameters, which take a second to initialise: its plain data alone are
# asked.
@pytest.mark.parametrize("network", [name for name in REASONS if name != "timm:vgg11"])
def test_rows_are_explicit(network: str, pictures: Path, dataset: Dataset) -> None:
    recipe = study_recipe(pictures).only().plus(*TRICKS)
    study = Study(recipe=recipe, design=tb.LeaveOneOut(), models=(network,), seeds=2)
    inapplicable = study.inapplicable(dataset)
    layout = study.design.layout(
        study.recipes()[network], network, inapplicable=inapplicable[network]
    )
    assert [variant.label for variant in layout.variants] == [
        "full",
        *(f"-{name}" for name in NAMES),
    ]
    full, *rows = layout.variants
    assert full.recipe is not None
    assert full.recipe.trick_names == tuple(name for name in NAMES if name not in REASONS[network])
    for name, row in zip(NAMES, rows, strict=True):
        reason = REASONS[network].get(name)
        assert (row.recipe is None) == (reason is not None), (name, row.reason)
        if reason is not None:
            assert row.reason is not None
            assert row.reason.endswith(f": {reason}")
    assert len(layout.notes) == len(REASONS[network])


def test_one_at_a_time_leaves_out_what_does_not_apply(pictures: Path) -> None:
    recipe = study_recipe(pictures).only().on("timm:vgg11")
    design = tb.OneAtATime(tricks=("squeeze_excite", "anti_alias", "activation"))
    layout = design.layout(recipe, "timm:vgg11")
    reasons = {
        variant.label: variant.reason for variant in layout.variants if variant.recipe is None
    }
    assert set(reasons) == {"+squeeze_excite", "+anti_alias"}
    assert all(
        f": {REASONS['timm:vgg11'][label[1:]]}" in str(reason) for label, reason in reasons.items()
    )
