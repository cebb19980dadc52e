"""The design whose arms are backbones: what each starts from, and what is compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.builders.trained import preprocessing_of_size
from tests.study.designs.layouts import Leans, by_label, names, rows
from trickbag import recipes
from trickbag.errors import UserError
from trickbag.models.config import ModelConfig, ResNetConfig, TimmConfig, model_config
from trickbag.models.weights import save_weights
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.models.zoo import build_network
from trickbag.recipe import Recipe
from trickbag.study.designs.backbones import Backbones
from trickbag.study.designs.named import read_design

DETECTION = recipes.detection(data="boxes")


def network(shortcut: str = "conv") -> ModelConfig:
    name = "resnet18_d" if shortcut == "avg_pool" else "resnet18"
    config = model_config(name)
    assert isinstance(config, ResNetConfig)
    return ResNetConfig(**{**vars(config), "width_factor": 0.125, "num_classes": 2})


def run(folder: Path, model: ModelConfig, seed: int | None = None, *, finished: bool = True) -> str:
    """Write what the folder of a run needs to be a backbone."""
    folder.mkdir(parents=True)
    metadata = WeightsMetadata(
        model=model, classes=("a", "b"), preprocessing=preprocessing_of_size(16)
    )
    save_weights(build_network(model, seed=seed or 0), folder / "best.safetensors", metadata)
    record = {"trial": {"seed": seed}} if seed is not None else {}
    (folder / "recipe.json").write_text(json.dumps(Recipe(model=model).to_dict() | record))
    if finished:
        (folder / "result.json").write_text("{}")
    return str(folder)


def design(**arms: str | tuple[str, ...]) -> Backbones:
    return Backbones.of(arms)


def test_each_arm_has_the_network_of_its_run_and_is_compared_with_the_first(tmp_path: Path) -> None:
    plain_run, d_run = run(tmp_path / "a", network()), run(tmp_path / "b", network("avg_pool"))
    arms = design(scratch="scratch", plain=plain_run, d=d_run, named="resnet34")
    base = recipes.finetune(data="digits")
    layout = arms.layout(base, arms.network(base))
    assert rows(layout) == [
        ("plain", "", "plain", "scratch"),
        ("d", "", "d", "scratch"),
        ("named", "", "named", "scratch"),
    ]
    variants = by_label(layout)
    starts = {
        label: (v.recipe.training.init, v.recipe.model) for label, v in variants.items() if v.recipe
    }
    assert starts == {
        # The network of the first arm with weights, anew.
        "scratch": (None, ResNetConfig(**{**vars(network()), "num_classes": 0})),
        "plain": (plain_run, ResNetConfig(**{**vars(network()), "num_classes": 0})),
        "d": (d_run, ResNetConfig(**{**vars(network("avg_pool")), "num_classes": 0})),
        "named": (None, base.on("resnet34").model),
    }
    # The recipe's own start is no arm's.
    assert not any(v.recipe.training.pretrained for v in variants.values() if v.recipe)
    assert {names(v.recipe) for v in variants.values()} == {base.trick_names}
    # Two thin networks have one name.
    assert layout.model == "resnet18, changed and resnet34"


def test_published_weights_and_the_network_of_a_run_anew(tmp_path: Path) -> None:
    folder = run(tmp_path / "a", network())
    arms = design(published="pretrained:resnet34", timm="timm:resnet18", anew=f"scratch:{folder}")
    variants = by_label(arms.layout(DETECTION, arms.network(DETECTION)))
    starts = [v.recipe for v in variants.values() if v.recipe]
    assert [(r.training.pretrained, r.training.init) for r in starts] == [
        (True, None),
        (False, None),
        (False, None),
    ]
    assert isinstance(starts[1].model, TimmConfig)
    assert starts[2].model == ResNetConfig(**{**vars(network()), "num_classes": 0})


def test_each_seed_starts_from_its_own_run(tmp_path: Path) -> None:
    runs = tuple(run(tmp_path / str(seed), network(), seed) for seed in range(3))
    arms = design(scratch="scratch", plain=runs)
    layout = arms.layout(DETECTION, "a")
    plain_arm = by_label(layout)["plain"]
    assert [plain_arm.recipe_of(seed).training.init for seed in range(3)] == list(runs)
    assert by_label(layout)["scratch"].recipe_of(7).training.init is None
    with pytest.raises(UserError, match="plain has runs for 3 seeds, and none for seed 3; take"):
        plain_arm.recipe_of(3)
    assert arms.most_seeds == 3
    assert "of which the seeds are 0, 1, 2: pairs share them" in layout.notes[0].reason


def test_what_pairs_do_not_share_is_said(tmp_path: Path) -> None:
    runs = [run(tmp_path / str(seed), network(), seed) for seed in range(3)]
    arms = design(scratch="scratch", plain=runs[0])
    (note,) = arms.layout(DETECTION, "a").notes
    assert "every seed of plain starts from one trained network" in note.reason
    other = design(a=(runs[0], runs[1]), b=(runs[1], runs[2]))
    (note,) = other.layout(DETECTION, "a").notes
    assert "the seeds of these runs differ between the arms" in note.reason


def test_a_trick_that_does_not_fit_one_network_is_left_out_of_all_arms(tmp_path: Path) -> None:
    arms = design(plain=run(tmp_path / "a", network()), d=run(tmp_path / "b", network("avg_pool")))
    recipe = Recipe(name="leaning", tricks=(Leans(),))
    layout = arms.layout(recipe, "both")
    assert {names(v.recipe) for v in layout.variants} == {()}
    assert "leans does not apply to both and is left out of every variant" in layout.notes[0].reason


def test_plain_data_and_back() -> None:
    arms = design(scratch="scratch", plain=("runs/0", "runs/1"))
    assert read_design(json.loads(json.dumps(arms.to_dict()))) == arms


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ((), "needs two arms, and has none; give each: --backbone LABEL=RUN"),
        ((("a", ("b",)),), "needs two arms, and has a"),
        ((("a", ("b",)), ("a", ("c",))), "two backbones are called a; give each its own"),
        ((("a", ("b",)), ("all", ("c",))), "no arm can be called 'all'"),
        ((("a", ("b",)), ("c", ())), "the arm c has no backbone"),
    ],
)
def test_arms_that_cannot_be(arms: tuple[tuple[str, tuple[str, ...]], ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Backbones(arms=arms)


def test_a_start_that_is_none(tmp_path: Path) -> None:
    arms = design(scratch="scratch", wrong=str(tmp_path / "absent"))
    with pytest.raises(UserError, match=r"no backbone '.*absent': there is no such run, file or"):
        arms.layout(DETECTION, "a")
    unfinished = run(tmp_path / "a", network(), 0, finished=False)
    with pytest.raises(UserError, match="has not finished: its weights will change; finish it"):
        design(scratch="scratch", a=unfinished).layout(DETECTION, "a")
    with pytest.raises(UserError, match="compares no tricks"):
        Backbones(arms=arms.arms, tricks=("mixup",))
