"""Tricks that fill slots: which networks they make and refuse, in any order."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from typing import TYPE_CHECKING, Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trickbag.errors import DoesNotApply, UserError
from trickbag.models import build_network
from trickbag.models.config import (
    BigLittleConfig,
    ModelConfig,
    ResNetConfig,
    TimmConfig,
    model_config,
)
from trickbag.models.layers.stem import STEMS
from trickbag.models.parts import Activation as Function
from trickbag.models.parts import (
    AssembleKernel,
    AveragePool,
    Blur,
    Gelu,
    LeakyRelu,
    Mish,
    OriginalKernel,
    Relu,
    Silu,
    SplitKernel,
    SqueezeExcitePart,
)
from trickbag.models.slot import fill_slot
from trickbag.models.zoo import raw_network
from trickbag.recipe import Recipe, trick_from_text
from trickbag.report.study.published import CHAINS
from trickbag.tricks import builtin
from trickbag.tricks.activation import Activation
from trickbag.tricks.anti_alias import AntiAlias
from trickbag.tricks.big_little import BigLittleBranches
from trickbag.tricks.resnet_tweaks import ResNetB, ResNetC, ResNetD
from trickbag.tricks.selective_kernel import SelectiveKernel
from trickbag.tricks.squeeze_excite import SqueezeExcite
from trickbag.tricks.trick import NoEffect, Trick
from trickbag.tricks.zero_init_residual import ZeroInitResidual

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TIMM = TimmConfig(name="convnext_atto")
ASSEMBLE_50 = (BigLittleBranches(), SelectiveKernel(), AntiAlias())
ASSEMBLE_152 = (BigLittleBranches(alpha=1, beta=2), SelectiveKernel(), AntiAlias())


def after(tricks: Iterable[Trick], model: ModelConfig) -> ModelConfig:
    """The network after the tricks, applied in the order in which a run applies them."""
    for trick in Recipe(tricks=tuple(tricks)).tricks:
        with contextlib.suppress(NoEffect):
            model = trick.model(model)
    return model


def outcome(tricks: Sequence[Trick], model: ModelConfig) -> ModelConfig | str:
    """The network after the tricks, or the text of the error that refuses them."""
    try:
        return after(tricks, model)
    except UserError as error:
        return str(error)


@pytest.mark.parametrize(
    ("tricks", "start", "end"),
    [
        ((SqueezeExcite(),), "resnet50", "seresnet50"),
        ((SqueezeExcite(),), "resnext50_32x4d", "seresnext50_32x4d"),
        ((SelectiveKernel(form="split"),), "resnet50", "skresnet50"),
        ((SelectiveKernel(form="original"),), "resnext50_32x4d", "skresnext50_32x4d"),
        ((AntiAlias(places=("branch", "stem")),), "resnet50", "resnetblur50"),
        (
            (AntiAlias(filter="average_pool", places=("branch", "stem")), ResNetD()),
            "resnet50",
            "resnetaa50d",
        ),
        ((BigLittleBranches(),), "resnet50", "bl_resnet50"),
        ((BigLittleBranches(),), "resnet101", "bl_resnet101"),
        (ASSEMBLE_50, "resnet50", "assemble_resnet50"),
        (ASSEMBLE_50, "resnet101", "assemble_resnet101"),
        (ASSEMBLE_152, "resnet152", "assemble_resnet152"),
    ],
)
def test_tricks_make_the_named_networks(tricks: tuple[Trick, ...], start: str, end: str) -> None:
    kept: dict[str, Any] = {
        "num_classes": 7,
        "in_channels": 1,
        "init": "msra",
        "small_stem": "auto",
    }
    expected = dataclasses.replace(model_config(end), **kept)
    for order in itertools.permutations(tricks):
        assert after(order, dataclasses.replace(model_config(start), **kept)) == expected


@pytest.mark.parametrize(
    ("text", "field", "part"),
    [
        (
            "squeeze_excite:bias=false,divisor=1",
            "attention",
            SqueezeExcitePart(bias=False, divisor=1),
        ),
        ("squeeze_excite:reduction=2", "attention", SqueezeExcitePart(reduction=2)),
        ("selective_kernel", "selective_kernel", AssembleKernel()),
        ("selective_kernel:reduction=4", "selective_kernel", AssembleKernel(reduction=4)),
        ("selective_kernel:form=original,least=16", "selective_kernel", OriginalKernel(least=16)),
        ("selective_kernel:form=split,reduction=none", "selective_kernel", SplitKernel()),
        ("anti_alias", "anti_alias", Blur()),
        ("anti_alias:filter=5,places=shortcut", "anti_alias", Blur(size=5, places=("shortcut",))),
        ("anti_alias:places=stem,branch,stem", "anti_alias", Blur(places=("branch", "stem"))),
        ("anti_alias:filter=average_pool", "anti_alias", AveragePool(places=("branch",))),
        ("activation:function=mish", "activation", Mish()),
        ("activation:function=leaky_relu:slope=0.2", "activation", LeakyRelu(slope=0.2)),
    ],
)
@pytest.mark.parametrize("start", ["resnet18", "resnet50_d", "skresnet50", "assemble_resnet50"])
def test_trick_sets_its_slot_alone(text: str, field: str, part: object, start: str) -> None:
    model = model_config(start)
    if "stem" in text and isinstance(model, BigLittleConfig):
        with pytest.raises(DoesNotApply, match="no max-pool"):
            trick_from_text(text).model(model)
        return
    change: dict[str, Any] = {field: part}
    expected = dataclasses.replace(model, **change)
    assert after([trick_from_text(text)], model) == expected


@pytest.mark.parametrize("function", [option() for option in get_args(Function)])
def test_every_activation_can_be_swapped_in(function: Any) -> None:
    expected = type(function())
    config = ResNetConfig(depth=18, num_classes=3, activation=LeakyRelu(slope=0.3))
    network = build_network(after([Activation(function=function)], config), seed=0)
    activations = [
        module
        for module in network.modules()
        if type(module).__module__ == "torch.nn.modules.activation"
    ]
    assert len(activations) == 1 + 2 * 8
    assert {type(module) for module in activations} == {expected}


@pytest.mark.parametrize(
    ("trick", "model"),
    [
        (SqueezeExcite(), "seresnet50"),
        (SelectiveKernel(), "assemble_resnet50"),
        (SelectiveKernel(form="split", reduction=16), "skresnet50"),
        (AntiAlias(places=("stem", "branch")), "resnetblur50"),
        (AntiAlias(), "assemble_resnet152"),
        (Activation(function=Relu()), "resnet18"),
        (BigLittleBranches(), "bl_resnet50"),
        (BigLittleBranches(alpha=1, beta=2), "assemble_resnet152"),
        (Activation(function=Gelu()), "timm:convnext_atto"),
        (Activation(function=Relu()), "timm:vgg11"),
    ],
)
def test_a_slot_that_is_filled_alike_has_no_effect(trick: Trick, model: str) -> None:
    with pytest.raises(NoEffect, match="already"):
        trick.model(model_config(model))


@pytest.mark.parametrize(
    ("trick", "says"),
    [
        (
            SqueezeExcite(),
            "squeeze_excite has no place in timm:convnext_atto: 12 of its 12 residual branches end "
            "in Conv2d, "
            "not in a normalisation with a scale",
        ),
        (
            SelectiveKernel(),
            "selective_kernel fills the selective_kernel slot of this package's networks; "
            "timm:convnext_atto has none",
        ),
        (
            AntiAlias(),
            "anti_alias has no place in timm:convnext_atto: nothing in it skips pixels in branch, "
            "as the windows of its strided convolutions do not overlap",
        ),
    ],
)
def test_a_network_of_timm_without_a_place_says_why(trick: Trick, says: str) -> None:
    with pytest.raises(DoesNotApply) as refused:
        trick.model(TIMM)
    assert (
        str(refused.value)
        == f"{says}. Use a resnetN (resnet50), or take it out: --without {trick.name}"
    )


@pytest.mark.parametrize(
    ("text", "field", "part"),
    [
        ("squeeze_excite:reduction=8", "attention", SqueezeExcitePart(reduction=8)),
        ("anti_alias:filter=5,places=shortcut", "anti_alias", Blur(size=5, places=("shortcut",))),
        ("activation:function=mish", "activation", Mish()),
    ],
)
def test_a_network_of_timm_is_changed_in_its_config(text: str, field: str, part: object) -> None:
    model = TimmConfig(name="resnet18")
    change: dict[str, Any] = {field: part}
    assert after([trick_from_text(text)], model) == dataclasses.replace(model, **change)
    network = Recipe(model=after([trick_from_text(text)], model)).network
    assert network == "timm:resnet18, changed"


def test_a_name_that_timm_does_not_have_is_its_own_error() -> None:
    with pytest.raises(UserError, match="timm has no network 'resnet5O'"):
        AntiAlias().model(TimmConfig(name="resnet5O"))


def test_other_changes_of_a_network_of_timm_do_not_matter_to_a_part() -> None:
    # VGG has no stochastic depth: `stochastic_depth` says so, not `activation`.
    assert Activation().model(TimmConfig(name="vgg11", stochastic_depth=0.5)) == TimmConfig(
        name="vgg11", stochastic_depth=0.5, activation=Silu()
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (SqueezeExcite(), SelectiveKernel()),
        *((BigLittleBranches(), tweak) for tweak in (ResNetB(), ResNetC(), ResNetD())),
    ],
)
def test_tricks_that_exclude_each_other(first: Trick, second: Trick) -> None:
    for earlier, later in ((first, second), (second, first)):
        message = rf"^{later.name} and {earlier.name} exclude .*--without {earlier.name}$"
        with pytest.raises(UserError, match=message):
            Recipe(tricks=(earlier, later))


SETTINGS: dict[str, list[Trick]] = {
    "squeeze_excite": [SqueezeExcite(), SqueezeExcite(bias=False, divisor=1)],
    "selective_kernel": [
        SelectiveKernel(),
        SelectiveKernel(form="original"),
        SelectiveKernel(form="split"),
    ],
    "anti_alias": [
        AntiAlias(),
        AntiAlias(filter=6, places=("shortcut",)),
        AntiAlias(filter="average_pool", places=("branch", "stem")),
        AntiAlias(places=("stem",)),
    ],
    "big_little": [BigLittleBranches(), BigLittleBranches(alpha=4, beta=1)],
    "activation": [Activation(), Activation(function=Relu())],
    "resnet": [ResNetB(), ResNetC(), ResNetD()],
}
NETWORKS: list[ModelConfig] = [
    *(
        model_config(name)
        for name in ("resnet18", "resnet50_a", "resnet101_d", "resnext50_32x4d", "seresnet50")
    ),
    *(model_config(name) for name in ("resnetblur50", "assemble_resnet50", "bl_resnet101")),
    ResNetConfig(stem="small_s1"),
    TimmConfig(name="vgg11"),
]


def assert_order_makes_no_difference(tricks: Sequence[Trick], model: ModelConfig) -> None:
    outcomes = [outcome(order, model) for order in itertools.permutations(tricks)]
    networks = [result for result in outcomes if not isinstance(result, str)]
    refusals = [result for result in outcomes if isinstance(result, str)]
    assert all(network == networks[0] for network in networks)
    for line in refusals:
        assert any(line.startswith(trick.name) for trick in tricks)
        assert "--without" in line or "Use " in line
    # Only anti-aliasing of a stem and `big_little` may be refused in one order and not in the
    # other: the order decides whether the second of them sees a stem with a max-pool, and whether
    # it sees the network's own anti-aliasing or that of the trick.
    if networks and refusals:
        assert {"anti_alias", "big_little"} <= {trick.name for trick in tricks}
        assert all("'stem'" in line for line in refusals)


@pytest.mark.parametrize(
    "model", NETWORKS, ids=lambda model: f"{model.kind}{getattr(model, 'depth', '')}"
)
def test_order_of_two_makes_no_difference(model: ModelConfig) -> None:
    for first, second in itertools.combinations(SETTINGS.values(), 2):
        for pair in itertools.product(first, second):
            assert_order_makes_no_difference(pair, model)


@given(data=st.data(), model=st.sampled_from(NETWORKS))
def test_order_of_many_makes_no_difference(data: st.DataObject, model: ModelConfig) -> None:
    kinds = data.draw(
        st.lists(st.sampled_from(sorted(SETTINGS)), unique=True, min_size=3, max_size=4)
    )
    tricks = [data.draw(st.sampled_from(SETTINGS[kind])) for kind in kinds]
    assert_order_makes_no_difference(tricks, model)


@pytest.mark.parametrize("stem", STEMS)
def test_a_stem_without_max_pool_is_not_blurred(stem: Any) -> None:
    model = ResNetConfig(depth=18, stem=stem)
    if STEMS[stem].max_pool:
        assert AntiAlias(places=("stem",)).model(model) == dataclasses.replace(
            model, anti_alias=Blur(places=("stem",))
        )
        return
    with pytest.raises(NoEffect, match=f"the stem {stem} has no max-pool"):
        AntiAlias(places=("stem",)).model(model)
    everywhere = AntiAlias(places=("branch", "stem")).model(model)
    assert everywhere == dataclasses.replace(model, anti_alias=Blur(places=("branch", "stem")))


@pytest.mark.parametrize(
    ("tricks", "depth", "branches"),
    [
        ((SqueezeExcite(), AntiAlias(), Activation(), ResNetD()), 18, 8),
        ((SelectiveKernel(form="split"), Activation()), 18, 8),
        # Big branches 2, 3, 5, little 1, 1, 1, a block after each sum, and 3 in the last stage.
        (ASSEMBLE_50, 50, 10 + 3 + 3 + 3),
    ],
)
def test_zero_init_finds_every_residual_branch(
    tricks: tuple[Trick, ...], depth: Any, branches: int
) -> None:
    network = build_network(after(tricks, ResNetConfig(depth=depth, num_classes=3)), seed=0)
    ZeroInitResidual().network(network)
    blocks = [module for module in network.modules() if hasattr(module, "zero_init_last")]
    assert len(blocks) == branches
    calls: list[tuple[nn.Module, torch.Tensor, torch.Tensor]] = []

    def record(block: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        calls.append((block, inputs[0].clone(), output.clone()))

    for block in blocks:
        block.register_forward_hook(record)
    with torch.no_grad():
        network.eval()(torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
        for block, inputs, output in calls:
            *_, end = (child for child in block.children() if not list(child.children()))
            shortcut = block.get_submodule("downsample")
            torch.testing.assert_close(output, end(shortcut(inputs)), rtol=0, atol=0)
    assert len(calls) == branches


@pytest.mark.parametrize(
    ("trick", "start", "parameters"),
    [
        # Tables B.9 and D of the facts: 1,000 classes.
        (SqueezeExcite(bias=False), "resnet50", 28_071_976),
        (SelectiveKernel(), "resnet50", 38_771_816),
        (SelectiveKernel(), "resnet50_d", 38_791_048),
        (AntiAlias(), "resnet50", 25_557_032),
        (BigLittleBranches(), "resnet50", 28_403_624),
        (BigLittleBranches(), "resnet101", 43_560_616),
    ],
)
def test_parameters_of_the_originals(trick: Trick, start: str, parameters: int) -> None:
    config = dataclasses.replace(trick.model(model_config(start)), num_classes=1000)
    assert isinstance(config, ResNetConfig | BigLittleConfig)
    with torch.device("meta"):
        network = raw_network(config)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_published_tables_use_the_names_of_these_tricks() -> None:
    top1 = {
        step.trick: (step.base, step.top1)
        for chain in CHAINS
        for step in chain.steps
        if step.checked
    }
    # Table 7 of Lee et al. 2020: E3 to E4, E5 to E6, E8 to E9, E9 to E10.
    assert top1["squeeze_excite"] == (79.10, 79.71)
    assert top1["selective_kernel"] == (80.40, 81.40)
    assert top1["big_little"] == (82.10, 82.44)
    assert top1["anti_alias"] == (82.44, 82.69)
    assert {"squeeze_excite", "selective_kernel", "big_little", "anti_alias"} <= set(builtin())


def test_slot_is_filled_by_name() -> None:
    assert fill_slot(
        ResNetConfig(), "attention", SqueezeExcitePart(), trick="mine"
    ) == model_config("seresnet50")
    with pytest.raises(
        DoesNotApply, match=r"^mine fills the selective_kernel slot .*--without mine$"
    ):
        fill_slot(TIMM, "selective_kernel", SplitKernel(), trick="mine")
    with pytest.raises(
        DoesNotApply, match=r"^mine has no place in timm:convnext_atto: .*--without mine$"
    ):
        fill_slot(TIMM, "anti_alias", Blur(), trick="mine")


@pytest.mark.parametrize(
    "text",
    [
        "squeeze_excite:reduction=0",
        "squeeze_excite:divisor=0",
        "selective_kernel:form=timm",
        "selective_kernel:least=0",
        "anti_alias:filter=1",
        "anti_alias:filter=8",
        "anti_alias:filter=mean",
        "anti_alias:places=head",
        "big_little:alpha=3",
        "big_little:beta=0",
        "activation:function=swish",
    ],
)
def test_value_without_sense_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^\w+\.\w+ = .*must be"):
        trick_from_text(text)


def test_empty_places_are_refused() -> None:
    with pytest.raises(
        UserError,
        match=r"^anti_alias\.places is empty; name at least one of branch, shortcut, stem",
    ):
        AntiAlias(places=())
