"""Initial values: their distribution by the formulas of the papers, and what they depend on."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from scipy import stats
from torch import nn

from trickbag.models import build_network, create_model
from trickbag.models.config import TimmConfig, model_config
from trickbag.models.init import STD_WITHIN_CUT, initialise


def layers() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(48, 96, 3),
        nn.BatchNorm2d(96),
        nn.Linear(200, 300),
        nn.Conv2d(64, 128, 5, groups=4),
    )


def initialised(scheme: str, seed: int = 0) -> nn.Sequential:
    """Layers that a scheme has set; every value was another one before."""
    network = layers()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(7)
        network[1].running_mean.fill_(7)
    initialise(network, scheme, seed)
    return network


FANS = {0: (48 * 9, 96 * 9), 2: (200, 300), 3: (16 * 25, 128 * 25)}


def xavier_variance(fan_in: int, fan_out: int) -> float:
    return 2 / (fan_in + fan_out)


def check_uniform(weight: torch.Tensor, variance: float) -> None:
    weight = weight.detach()
    bound = math.sqrt(3 * variance)
    assert weight.abs().max() <= bound * (1 + 1e-6)
    assert weight.max() > 0.999 * bound
    assert weight.min() < -0.999 * bound
    counts = torch.histc(weight.double(), bins=10, min=-bound, max=bound)
    expected = weight.numel() / 10
    # Chi-square with 9 degrees of freedom: 33.7 has a chance of 1e-4; the seed is fixed.
    assert float(((counts - expected) ** 2 / expected).sum()) < 33.7


def check_normal(weight: torch.Tensor, variance: float) -> None:
    values = weight.detach().double().flatten() / math.sqrt(variance)
    n = values.numel()
    assert abs(float(values.mean())) < 4 / math.sqrt(n)
    assert abs(float(values.var()) - 1) < 4 * math.sqrt(2 / n)
    assert abs(float((values**4).mean()) - 3) < 4 * math.sqrt(96 / n)


def test_xavier_is_uniform():
    network = initialised("xavier")
    for index, fans in FANS.items():
        check_uniform(network[index].weight, xavier_variance(*fans))


def test_msra_is_normal_by_fan_out():
    network = initialised("msra")
    for index in (0, 3):
        check_normal(network[index].weight, 2 / FANS[index][1])
    check_uniform(network[2].weight, xavier_variance(*FANS[2]))


def test_msra_prelu_is_normal_by_both_fans():
    network = initialised("msra_prelu")
    for index, (fan_in, fan_out) in FANS.items():
        check_normal(network[index].weight, 2 / (1 + 0.25**2) / ((fan_in + fan_out) / 2))


def test_lecun_is_a_cut_normal_by_fan_in():
    network = initialised("lecun")
    cut = stats.truncnorm(-2, 2)
    for index in (0, 3):
        values = network[index].weight.detach().double().flatten() * math.sqrt(FANS[index][0])
        # Of variance 1 / fan_in after the cut.
        assert abs(float(values.var()) - 1) < 0.02
        assert float(values.abs().max()) <= 2 / cut.std() * (1 + 1e-6)
        assert stats.kstest(values.numpy() * cut.std(), cut.cdf).pvalue > 1e-3
    check_uniform(network[2].weight, xavier_variance(*FANS[2]))
    assert cut.std() == pytest.approx(STD_WITHIN_CUT, rel=1e-12)


@pytest.mark.parametrize("scheme", ["xavier", "msra", "msra_prelu", "lecun"])
def test_biases_and_normalisations_start_neutral(scheme):
    network = initialised(scheme)
    for index in (0, 2, 3):
        assert not network[index].bias.any()
    norm = network[1]
    assert bool((norm.weight == 1).all())
    assert not norm.bias.any()
    assert not norm.running_mean.any()
    assert bool((norm.running_var == 1).all())


@pytest.mark.parametrize("scheme", ["xavier", "msra", "msra_prelu", "lecun"])
def test_networks_share_what_they_have_in_common(scheme):
    plain, tweaked = (
        build_network(
            dataclasses.replace(model_config(name), num_classes=classes, init=scheme), seed=3
        )
        for name, classes in (("resnet50", 10), ("resnet50_d", 20))
    )
    a, b = dict(plain.named_parameters()), dict(tweaked.named_parameters())
    shared = [name for name in a if name in b and a[name].shape == b[name].shape]
    # All but the stem, the shortcuts and the classifier: the shortcut of the first stage, too, has
    # another name.
    assert len(shared) >= 3 * 16 + 3
    assert all(torch.equal(a[name], b[name]) for name in shared)


def test_values_depend_on_the_seed_and_on_the_name():
    first, same, other = (create_model("resnet18", num_classes=3, seed=seed) for seed in (1, 1, 2))
    for (name, parameter), again, changed in zip(
        first.named_parameters(), same.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(parameter, again), name
        if parameter.ndim > 1:
            assert not torch.equal(parameter, changed), name
    assert not torch.equal(first.layer1[0].conv1.weight, first.layer1[1].conv1.weight)


@pytest.mark.parametrize(
    "config",
    [model_config("resnet18_d"), TimmConfig(name="mobilenetv3_small_050")],
    ids=["own", "timm"],
)
def test_building_neither_reads_nor_moves_torchs_random_state(config):
    config = dataclasses.replace(config, num_classes=4)
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first = build_network(config, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(12)
    same, other = build_network(config, seed=5), build_network(config, seed=6)
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), same.state_dict().values(), strict=True)
    )
    assert not all(
        torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True)
    )


def test_a_part_can_be_initialised_alone():
    network = create_model("resnet18", num_classes=3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    initialise(network, "xavier", 99, only=network.fc)
    changed = {
        name for name, value in network.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"fc.weight"}
    assert torch.equal(
        network.fc.weight, create_model("resnet18", num_classes=3, seed=99).fc.weight
    )


def test_other_modules_keep_their_values():
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.power = nn.Parameter(torch.tensor([3.0]))

    network = nn.Sequential(Scale(), nn.PReLU(), nn.LayerNorm(4))
    with torch.no_grad():
        network[2].weight.fill_(5)
    initialise(network, "msra", 0)
    assert network[0].power.item() == 3.0
    assert network[1].weight.item() == 0.25
    assert network[2].weight.tolist() == [1.0] * 4
