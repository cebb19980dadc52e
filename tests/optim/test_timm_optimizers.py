"""Optimizers of timm: which are taken, what is said of the others, and the steps they take."""

from __future__ import annotations

import pytest
import torch
from timm.optim import create_optimizer_v2, list_optimizers

from tests.builders.marks import long
from trickbag.assignment import assign
from trickbag.errors import UserError
from trickbag.optim.config import TrainConfig
from trickbag.optim.optimizers import TimmOptimizer
from trickbag.optim.timm_optimizers import NOT_SETTINGS, optimizer_names, state_size
from trickbag.settings import plain, plain_identity, read
from trickbag.study.designs.setting_levels import setting_at, value_text

PATH = "training.optimizer"


def timm(name: str, **settings: object) -> TimmOptimizer:
    return TimmOptimizer(name=name, settings=tuple(settings.items()))


def test_every_name_is_taken_or_refused_with_a_reason() -> None:
    usable = optimizer_names()
    assert {"lamb", "nadamw", "lion", "muon", "adan", "sgd", "adamw", "rmsproptf"} <= {*usable}
    for name in {*list_optimizers()} - {*usable}:
        with pytest.raises(UserError, match=f"name = '{name}' cannot train a run: it ") as error:
            timm(name).check(PATH)
        assert error.value.way_out


@pytest.mark.slow
@pytest.mark.parametrize("name", [long(name) for name in optimizer_names()])
def test_every_usable_one_is_taken(name: str) -> None:
    timm(name).check(PATH)


@pytest.mark.parametrize(
    ("optimizer", "says"),
    [
        (timm("lamp"), "'lamp': no optimizer of timm; did you mean lamb"),
        (timm("LAMB"), "'LAMB': no optimizer of timm; "),
        (timm("lamb", trustclip=True), "lamb has no setting 'trustclip'; did you mean trust_clip?"),
        (timm("lion", eps=1e-8), "timm's lion has no setting 'eps'"),
        (timm("lamb", lr=1.0), "optimizer.lr is no setting of an optimizer: it is training.lr"),
        (timm("adan", betas=(0.9, 0.99)), "adan refuses its settings with betas = (0.9, 0.99): "),
        (timm("adam", betas=(0.9, 2.0)), "adam refuses its settings"),
        (timm("lamb", betas="high"), "lamb refuses its settings with betas = 'high'"),
        (timm("kron"), "it draws random numbers"),
        (timm("adahessian"), "it needs second derivatives"),
        (timm("bnbadam"), "it is of the package bitsandbytes"),
    ],
)
def test_what_is_refused(optimizer: TimmOptimizer, says: str) -> None:
    with pytest.raises(UserError) as error:
        optimizer.check(PATH)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("argument", sorted(NOT_SETTINGS))
def test_arguments_that_are_no_settings(argument: str) -> None:
    with pytest.raises(UserError, match=f"{PATH}.{argument} is no setting of an optimizer"):
        timm("adam", **{argument: 1}).check(PATH)


def test_settings_of_its_own_stand_beside_the_others() -> None:
    optimizer = timm("lamb", trust_clip=True, betas=[0.9, 0.95])
    written = {"kind": "timm", "name": "lamb", "betas": [0.9, 0.95], "trust_clip": True}
    assert plain(optimizer) == plain_identity(optimizer) == written
    data = {"optimizer": written}
    assert read(TrainConfig, data).optimizer == optimizer
    backwards = {"optimizer": dict(reversed(written.items()))}
    assert read(TrainConfig, backwards).optimizer == optimizer
    text = "timm:name=lamb,betas=0.9,0.95,trust_clip=true"
    assert assign(TrainConfig(), "optimizer", text, "training").optimizer == optimizer
    assert value_text(optimizer) == "timm:name=lamb,betas=[0.9,0.95],trust_clip=true"
    again = assign(TrainConfig(), "optimizer", value_text(optimizer), "training")
    assert again.optimizer == optimizer
    clipped = assign(again, "optimizer.max_grad_norm", "none", "training").optimizer
    assert setting_at(clipped, "max_grad_norm") is None
    assert setting_at(clipped, "trust_clip") is True
    for text in ("nan", "inf"):
        with pytest.raises(UserError, match="must be a number"):
            assign(again, "optimizer.eps", text, "training")
    with pytest.raises(UserError, match="lacks the setting 'name'"):
        assign(TrainConfig(), "optimizer", "timm", "training")


@pytest.mark.parametrize("name", ["lamb", "nadamw", "lion", "muon", "adamc"])
def test_steps_are_those_of_timms_factory(name: str) -> None:
    def weights() -> list[torch.nn.Parameter]:
        generator = torch.Generator().manual_seed(0)
        shapes = (8, 4, 3, 3), (8,)
        return [torch.nn.Parameter(torch.randn(s, generator=generator)) for s in shapes]

    ours, others = weights(), weights()
    decays = (0.05, 0.0)
    groups = [
        {"params": [w], "weight_decay": decay, "lr_scale": 1.0}
        for w, decay in zip(ours, decays, strict=True)
    ]
    stepped = timm(name)(groups, 0.01, fused=False)
    of_timm = create_optimizer_v2(
        [{"params": [w], "weight_decay": d} for w, d in zip(others, decays, strict=True)],
        opt=name,
        lr=0.01,
    )
    for _ in range(3):
        for weight, other in zip(ours, others, strict=True):
            weight.grad = weight.detach().cos()
            other.grad = other.detach().cos()
        stepped.step()
        of_timm.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, others, strict=True))


def test_corrected_decay_is_by_the_largest_rate_of_each_group() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    groups = [{"params": [weight], "weight_decay": 0.1, "lr_scale": 0.5}]
    optimizer = timm("lionc")(groups, 0.2, fused=False)
    assert optimizer.param_groups[0]["max_lr_snapshot"] == 0.1


def test_the_numbers_of_the_state() -> None:
    assert {name: state_size(name, {}) for name in ("lion", "lamb", "mars", "adan")} == {
        "lion": 1,
        "lamb": 2,
        "mars": 3,
        "adan": 4,
    }
