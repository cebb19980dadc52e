"""What a recipe's id is a hash of: ids of before stay, and settings that come later keep them."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from typing import ClassVar

import pytest

import trickbag
from tests.tricks.table import TABLE
from trickbag import recipe as recipe_module
from trickbag import recipes
from trickbag.models.config import model_config
from trickbag.recipe import Recipe
from trickbag.settings import Settings, plain, plain_identity
from trickbag.train.folder.identity import HEAD_VERSION, WEIGHTS_VERSION, trial_of
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.trick import Trick

RECIPES = {
    "small": "bfe9e2d13182a902",
    "baseline": "fddc4d0bf658b642",
    "efficient": "03103cbf119f9595",
    "bag_of_tricks": "2213847bd67faf5d",
    "finetune": "25f9a91bc522e3de",
    "fixres": "d331b3bfa0299c67",
    "assemble_fgvc": "c6b461710f3f929f",
    "assemble_resnet50": "81b458e8ede3290f",
    "assemble_resnet152": "546e4cf89a054f77",
    "assemble_e0": "1642b2054e836f0a",
    "assemble_e1": "5ec843bf7404f3a0",
    "assemble_e2": "dbec6204cdbe7388",
    "assemble_e3": "98f917ea9d519d16",
    "assemble_e4": "f70b9c9e89db53a5",
    "assemble_e5": "070ef16c7e145947",
    "assemble_e6": "5fe77f10c3c1f2cc",
    "assemble_e7": "5fe77f10c3c1f2cc",
    "assemble_e8": "e52d945473f8bcfb",
    "assemble_e9": "cfa4eddd8503c5b1",
    "assemble_e10": "9d793ca84217077b",
    "assemble_e11": "81b458e8ede3290f",
    "assemble_e12": "546e4cf89a054f77",
    "rsb_a1": "09db96d752188959",
    "rsb_a2": "cd5132ee0ac7d8e3",
    "rsb_a3": "c082fa48adf74d2d",
    "torchvision_2021": "1cf4c0ad98b55207",
    "resnet_rs": "66a542f5dbfb58cb",
    "patient_teacher": "d3a15a37a692c597",
}
"""The ids of the recipes by name, as commit 6e28974 computes them.

Those of `finetune`, which has other settings since, and of the recipes that came after are of a
later one.
"""

TRICKS = {
    "activation": "0cd6c9b8e7ce6a25",
    "anti_alias": "61e128db83812880",
    "asymmetric": "ecb00669fa72c0d1",
    "aug_mix": "2ae02dc349c51151",
    "auto_augment": "dcd830f9bd6e3880",
    "balanced_sampling": "1b25a58f2fcaa450",
    "bce": "23fb031e1b4c5976",
    "big_little": "d981027ef0984b5d",
    "class_weights": "a86c6d4dcaf5dce0",
    "color_jitter": "3395cecc2127ee8e",
    "compound_scaling": "a6414e36c65773bf",
    "cosine_decay": "4f38c0138e501baa",
    "cutmix": "57d89fb8963ef2a2",
    "cutout": "9d76ccc68300a324",
    "distillation": "bfdc55afc8390c03",
    "drop_block": "ef325f7c60a305dc",
    "dropout": "4da1ee8652e1643a",
    "ema": "f3a5a4a34141e322",
    "exponential_decay": "e0aee89607944464",
    "focal": "6f4a21bd0c7ed405",
    "label_smoothing": "bf4eae0152cf7615",
    "layer_decay": "48fed7620acab1b3",
    "linear_scaling": "e13d8fc53e75516c",
    "mixed_precision": "e09b4225e45b8bd6",
    "mixup": "6c7647034418497e",
    "mixup_cutmix": "eb52267baccd373d",
    "no_bias_decay": "e48bf860dcbb59fa",
    "pca_noise": "4cc140265b38f843",
    "progressive_resizing": "10ffefca49ce3113",
    "rand_augment": "0ab3599135a72575",
    "random_erasing": "cf29604036caaa36",
    "resnet_b": "7cc55c5125d82201",
    "resnet_c": "67a51898c42bf461",
    "resnet_d": "7a5c75b515799a42",
    "sam": "b59319e66ce0c137",
    "selective_kernel": "990bf746cc771174",
    "squeeze_excite": "e6228c1b649ae00c",
    "step_decay": "1ee216f34534b365",
    "stochastic_depth": "9bf6bfa59f317d3c",
    "swa": "9704f8c3864b2a25",
    "trivial_augment": "80ec082be2f29fb9",
    "warmup": "4c548534ae309535",
    "zero_init_residual": "7c3728769d259822",
}
"""The ids of recipes of each trick of the contract table alone, as commit 6e28974 computes them."""


@pytest.mark.parametrize("name", RECIPES)
def test_ids_of_recipes_stay(name: str) -> None:
    assert recipes.RECIPES[name]().id == RECIPES[name]


@pytest.mark.parametrize("name", TRICKS)
def test_ids_of_tricks_stay(name: str) -> None:
    trick, model = TABLE[name]
    assert Recipe(model=model_config(model), tricks=(trick,)).id == TRICKS[name]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner(Settings):
    size: int = 3
    border: int = 0

    introduced_later: ClassVar[tuple[str, ...]] = ("border",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer(Settings):
    kind: ClassVar[str] = "outer"
    introduced_later: ClassVar[tuple[str, ...]] = ("views",)

    rate: float = 0.5
    inner: Inner | None = Inner()
    views: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Derived(Outer):
    introduced_later: ClassVar[tuple[str, ...]] = ("names",)

    names: tuple[str, ...] = dataclasses.field(default_factory=lambda: ("a",))


def test_settings_introduced_later_are_left_out_while_they_have_their_default() -> None:
    assert plain_identity(Outer()) == {"kind": "outer", "rate": 0.5, "inner": {"size": 3}}
    assert plain_identity(Outer(views=2))["views"] == 2
    assert plain_identity(Outer(inner=Inner(border=1)))["inner"] == {"size": 3, "border": 1}
    assert plain_identity((Outer(), Outer(views=3)))[1]["views"] == 3
    assert plain(Outer())["views"] == 1
    assert plain(Outer())["inner"] == {"size": 3, "border": 0}


def test_a_derived_class_keeps_what_its_base_introduced_later() -> None:
    assert plain_identity(Derived()) == plain_identity(Outer())
    assert plain_identity(Derived(names=("b",)))["names"] == ["b"]
    assert plain_identity(Derived(views=2))["views"] == 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grown(Trick):
    """A trick that has gained a setting."""

    name: ClassVar[str] = "grown"
    paper: ClassVar[str] = "none"
    introduced_later: ClassVar[tuple[str, ...]] = ("soft",)

    strength: float = 1.0
    soft: bool = False


def test_a_recipe_leaves_out_what_its_tricks_introduced_later() -> None:
    (settings,) = Recipe(tricks=(Grown(),)).identity()["tricks"].values()
    assert settings == {"strength": 1.0}
    assert Recipe(tricks=(Grown(soft=True),)).id != Recipe(tricks=(Grown(),)).id


def test_a_version_of_the_numbers_makes_all_ids_others(monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipes.small()
    assert "numbers" not in before.identity()
    first = before.id
    monkeypatch.setattr(recipe_module, "NUMBERS", 2)
    assert before.identity()["numbers"] == 2
    assert before.id != first


def test_what_is_introduced_later_is_a_setting_with_a_default() -> None:
    for module in pkgutil.walk_packages(trickbag.__path__, "trickbag."):
        if module.name.startswith(("trickbag.tricks", "trickbag.models.", "trickbag.optim")):
            importlib.import_module(module.name)
    missing = dataclasses.MISSING
    classes = [Settings]
    while classes:
        cls = classes.pop()
        classes += cls.__subclasses__()
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in cls.introduced_later:
            assert name in fields, cls
            assert not fields[name].default is fields[name].default_factory is missing, cls


def test_a_default_that_is_chosen_counts_where_weights_bring_another() -> None:
    defaults = {"mean": "123.68,116.779,103.939", "std": "58.393,57.12,57.375"}
    for name, value in defaults.items():
        fresh, tuned = recipes.small(), recipes.finetune()
        assert fresh.set(f"data.{name}", value).id == fresh.id
        assert tuned.set(f"data.{name}", value).id != tuned.id
        assert tuned.set(f"data.{name}", "none").id == tuned.id


@pytest.mark.parametrize("recipe", [recipes.small(), recipes.finetune()])
def test_a_file_of_before_leaves_open_what_nobody_chose(recipe: Recipe) -> None:
    before = recipe.to_dict()
    del before["data"]["interpolation"]
    before["data"] |= {"mean": [123.68, 116.779, 103.939], "std": [58.393, 57.12, 57.375]}
    assert Recipe.from_dict(before, name=recipe.name) == recipe
    chosen = before | {"data": before["data"] | {"mean": [1, 2, 3]}}
    assert Recipe.from_dict(chosen).data.mean == (1.0, 2.0, 3.0)
    # A person's file names what differs; what it has is chosen.
    brief = {"data": {"mean": [123.68, 116.779, 103.939]}}
    assert Recipe.from_dict(brief).data.mean == (123.68, 116.779, 103.939)


def test_trials_with_weights_of_others_have_a_version() -> None:
    assert "weights_version" not in trial_of(recipes.small(), 0, "data")
    taught = recipes.small().plus(Distillation(teacher=("timm:resnet18",)))
    for recipe in (recipes.finetune(), taught):
        assert trial_of(recipe, 0, "data")["weights_version"] == WEIGHTS_VERSION
    assert trial_of(recipes.finetune(), 0, "data")["head_version"] == HEAD_VERSION
    assert "head_version" not in trial_of(taught, 0, "data")


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        ({"model": "timm:dm_nfnet_f0"}, True),
        ({"model": "timm:dm_nfnet_f0", "data.resize": "crop"}, False),
        ({"model": "timm:dm_nfnet_f0", "training.pretrained": "false"}, False),
        ({"model": "timm:resnet18.tv_in1k"}, False),
        ({"model": "resnet50_d"}, False),
        ({"model": "timm:vit_base_patch16_sapiens2", "training.pretrained": "false"}, True),
        (
            {
                "model": "timm:vit_base_patch16_sapiens2",
                "training.pretrained": "false",
                "data.image_size": "64",
            },
            False,
        ),
    ],
)
def test_trials_whose_images_timm_shapes_have_a_version(
    settings: dict[str, str], changed: bool
) -> None:
    trial = trial_of(recipes.finetune().set_all(settings), 0, "data")
    assert ("resize_version" in trial) == changed
