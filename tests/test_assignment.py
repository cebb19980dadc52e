"""Settings that need each other are checked together, in whatever order they are given."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from functools import cache

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trickbag import recipes
from trickbag.cli import _parser
from trickbag.cli.recipe_options import recipe_from
from trickbag.data.config import DataConfig
from trickbag.data.policies.policies import LearnedPolicy, RandomPolicy
from trickbag.errors import UserError
from trickbag.models.config import BigLittleConfig, MobileNetConfig, ResNetConfig
from trickbag.models.task_config import DetectionConfig
from trickbag.optim.config import TrainConfig
from trickbag.optim.optimizers import TimmOptimizer
from trickbag.recipe import Recipe
from trickbag.settings import Settings
from trickbag.tricks import builtin
from trickbag.tricks.anti_alias import AntiAlias
from trickbag.tricks.auto_augment import AutoAugment
from trickbag.tricks.class_weights import ClassWeights
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.drop_block import DropBlock
from trickbag.tricks.rand_augment import RandAugment
from trickbag.tricks.random_erasing import RandomErasing
from trickbag.tricks.step_decay import StepDecay

NAMED = {
    "small": recipes.small(),
    "finetune": recipes.finetune(),
    "resnext": recipes.baseline().on("resnext50_32x4d"),
    "policies": Recipe(tricks=(AutoAugment(table="cifar10"), DropBlock(), ClassWeights())),
    "random": Recipe(tricks=(RandAugment(), RandomErasing())),
}

# Settings that are valid together and of which at least one is not valid alone.
TOGETHER: list[tuple[type[Settings], str, dict[str, str]]] = [
    (TrainConfig, "finetune", {"training.init": "w.safetensors", "training.pretrained": "false"}),
    (DataConfig, "small", {"data.views": "2", "data.policy": "random:count=3"}),
    (
        ResNetConfig,
        "resnext",
        {"model.depth": "18", "model.cardinality": "1", "model.base_width": "64"},
    ),
    (
        MobileNetConfig,
        "resnext",
        {
            "model.kind": "mobilenet_v1",
            "model.width_factor": "0.5",
            "model.anti_alias": "blur:places=stem",
            "model.anti_alias.places": "branch",
        },
    ),
    (
        BigLittleConfig,
        "small",
        {
            "model": "bl_resnet50",
            "model.alpha": "4",
            "model.anti_alias": "blur:places=stem",
            "model.anti_alias.places": "shortcut",
        },
    ),
    (
        LearnedPolicy,
        "small",
        {
            "data.policy": "learned",
            "data.policy.table": "[[[rotate, 0.7, 10]]]",
            "data.policy.ranges": "assemble",
        },
    ),
    (
        RandomPolicy,
        "small",
        {"data.policy.kind": "random", "data.policy.bins": "5", "data.policy.magnitude": "4"},
    ),
    (
        DropBlock,
        "policies",
        {"tricks.drop_block.keep_prob": "1", "tricks.drop_block.start": "0.9"},
    ),
    (
        AutoAugment,
        "policies",
        {"tricks.auto_augment.table": "imagenet", "tricks.auto_augment.version": "assemble"},
    ),
    (
        ClassWeights,
        "policies",
        {"tricks.class_weights.by": "given", "tricks.class_weights.weights": "1,2,3"},
    ),
    (
        RandAugment,
        "random",
        {"tricks.rand_augment.bins": "5", "tricks.rand_augment.magnitude": "4"},
    ),
    (
        RandomErasing,
        "random",
        {"tricks.random_erasing.area": "0.001,0.01", "tricks.random_erasing.ratio": "0.01,0.015"},
    ),
]
ONE_BY_ONE = {AntiAlias, DetectionConfig, Distillation, StepDecay, TimmOptimizer}
"""Classes whose own checks are of one field alone."""


NO_PART_OF_A_RECIPE = (
    "trickbag.study.",
    "trickbag.search.",
    "trickbag.train.plan.",
    "trickbag.train.folder.",
    "trickbag.evaluate.",
    "trickbag.data.loading.",
    "trickbag.data.packing.",
)


def classes(base: type[Settings] = Settings) -> Iterator[type[Settings]]:
    for cls in base.__subclasses__():
        yield cls
        yield from classes(cls)


def test_every_class_that_checks_fields_of_its_own_has_a_row() -> None:
    builtin()
    checked = {
        cls
        for cls in classes()
        if "__post_init__" in vars(cls)
        and cls.__module__.startswith("trickbag.")
        and not cls.__module__.startswith(NO_PART_OF_A_RECIPE)
    }
    assert checked - {Recipe} - ONE_BY_ONE == {cls for cls, *_ in TOGETHER}


def options(texts: Sequence[tuple[str, str]]) -> list[str]:
    return [word for path, text in texts for word in ("--set", f"{path}={text}")]


@pytest.mark.parametrize(
    ("cls", "name", "texts"), TOGETHER, ids=lambda value: getattr(value, "__name__", "")
)
def test_settings_that_need_each_other(cls: type, name: str, texts: dict[str, str]) -> None:
    recipe = NAMED[name]
    results = [recipe.set_all(dict(order)) for order in itertools.permutations(texts.items())]
    assert results[0] != recipe
    assert all(result == results[0] for result in results)
    alone = 0
    for path, text in texts.items():
        try:
            recipe.set(path, text)
        except UserError:
            alone += 1
    assert alone, "each setting is valid alone: the row shows nothing"
    # Files have no order either.
    data = results[0].to_dict()
    backwards = {
        key: dict(reversed(value.items())) if isinstance(value, dict) and key != "tricks" else value
        for key, value in reversed(data.items())
    }
    assert Recipe.from_dict(json.loads(json.dumps(backwards))) == results[0]
    assert (
        Recipe.from_dict(yaml.safe_load(yaml.safe_dump(backwards, sort_keys=False))) == results[0]
    )


def described(*words: str) -> Recipe:
    return recipe_from(parser().parse_args(["train", *words]))


@cache
def parser():  # type: ignore[no-untyped-def]
    return _parser(["train"])


@pytest.mark.parametrize(
    "words",
    [
        ["--with", "class_weights:by=given", "--set", "tricks.class_weights.weights=1,2"],
        ["--with", "class_weights:weights=1,2", "--set", "tricks.class_weights.by=given"],
        ["--set", "tricks.class_weights.by=given", "--with", "class_weights:weights=1,2"],
    ],
)
def test_a_new_trick_is_checked_with_what_is_set(words: list[str]) -> None:
    assert described(*words).tricks[-1] == ClassWeights(by="given", weights=(1.0, 2.0))


def test_options_are_checked_with_what_is_set() -> None:
    tuned = described("finetune", "--init", "a", "--set", "training.pretrained=false")
    assert (tuned.training.init, tuned.training.pretrained) == ("a", False)
    fresh = described(
        "finetune", "--set", "training.init=a", "--pretrained", "--set", "training.pretrained=no"
    )
    assert (fresh.training.init, fresh.training.pretrained) == ("a", False)
    assert described("--model", "resnet50", "--set", "model.depth=18") == described(
        "--set", "model.depth=18", "--set", "model=resnet50"
    )
    both = described("--set", "training.lr=1", "--epochs", "3", "--set", "training.lr=2")
    assert (both.training.lr, both.training.epochs) == (2.0, 3)
    with pytest.raises(UserError, match="name two kinds"):
        described("--set", "model.kind=timm", "--set", "model=resnet50")
    with pytest.raises(UserError, match=r"optimizer = 'sgd' and .*kind = 'adamw' name two kinds"):
        described("--set", "training.optimizer=sgd", "--set", "training.optimizer.kind=adamw")
    with pytest.raises(UserError, match=r"clip_norm = None has no settings of its own, so not 'x'"):
        described("--set", "training.clip_norm.x=1")
    with pytest.raises(UserError, match=r"model.kind = 'vit': must be one of resnet, timm"):
        described("--set", "model.kind=vit")


POOL = [(path, text) for _, _, texts in TOGETHER for path, text in texts.items()] + [
    ("training.optimizer", "adamw"),
    ("training.optimizer.beta1", "0.8"),
    ("training.optimizer.kind", "rmsprop"),
    ("training.optimizer.alpha", "x"),
    ("training.optimizer.name", "lamb"),
    ("training.clip_norm", "0"),
    ("training.lr", "fast"),
    ("data.crop_area", "0.9,0.1"),
    ("model.kind", "timm"),
    ("model.name", "resnet18"),
    ("model.depth", "51"),
    ("schedule.decay", "step:factor=2"),
    ("schedule.decay.at", "0.5"),
    ("tricks.absent.x", "1"),
    ("lr", "1"),
]


@hypothesis_settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(sorted(NAMED)),
    st.lists(st.sampled_from(POOL), min_size=2, max_size=6, unique_by=lambda pair: pair[0]),
    st.randoms(use_true_random=False),
)
def test_any_order_gives_the_same_recipe_or_the_same_error(
    name: str, texts: list[tuple[str, str]], random: object
) -> None:
    def outcome(order: list[tuple[str, str]]) -> object:
        try:
            return NAMED[name].set_all(dict(order))
        except UserError as error:
            return str(error)

    shuffled = list(texts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert outcome(texts) == outcome(shuffled) == outcome(texts[::-1])
