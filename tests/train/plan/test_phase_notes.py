"""What a run says of the parts that it trains, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders.recipes import bare_recipe
from tests.builders.teachers import teacher_file
from trickbag.data.dataset import Dataset, prepare
from trickbag.errors import UserError
from trickbag.train.plan.resolve import resolve


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(teacher_file(tmp_path_factory.mktemp("weights") / "w.safetensors"))


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(bare_recipe(pictures).data)


def notes_of(pictures: Path, dataset: Dataset, init: str | None, **settings: str) -> list[str]:
    chosen = {} if init is None else {"training.init": init}
    recipe = bare_recipe(pictures, **({"training.epochs": "3"} | chosen | settings))
    return [note.text for note in resolve(recipe, dataset, 0)[1]]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"freeze": "stem"}, "training.freeze=stem: 365,507 of 372,979 parameters are trained"),
        ({"freeze": "1"}, "parameters are trained"),
        ({"freeze": "body", "head_epochs": "1"}, "head_epochs changes nothing but the schedule"),
        ({"freeze": "body", "unfreeze": "gradual"}, "unfreeze changes nothing but the schedule"),
        (
            {"head_epochs": "1"},
            "in the first 1 epoch the head alone is trained, 291 of 372,979 parameters",
        ),
        ({"head_epochs": "3"}, "only the head is trained: training.head_epochs fills the 3 epochs"),
        ({"unfreeze": "gradual"}, "the run is too short to train 3 of 6 groups"),
    ],
)
def test_notes(
    pictures: Path, dataset: Dataset, weights: str, settings: dict[str, str], text: str
) -> None:
    paths = {f"training.{name}": value for name, value in settings.items()}
    texts = notes_of(pictures, dataset, weights, **paths)
    assert sum(text in note for note in texts) == 1, texts


def test_a_run_that_trains_all_has_none(pictures: Path, dataset: Dataset, weights: str) -> None:
    assert not any("train" in text for text in notes_of(pictures, dataset, None))
    texts = notes_of(pictures, dataset, weights, **{"training.batch_norm": "reestimate"})
    assert not any("batch_norm" in text for text in texts)


@pytest.mark.parametrize("policy", ["frozen", "reestimate"])
def test_a_network_without_statistics(pictures: Path, dataset: Dataset, policy: str) -> None:
    settings = {"model": "timm:test_vit", "data.image_size": "160", "training.pretrained": "true"}
    texts = notes_of(pictures, dataset, None, **settings, **{"training.batch_norm": policy})
    assert any(f"training.batch_norm={policy} changes nothing" in text for text in texts)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("freeze", "body"),
        ("head_epochs", "1"),
        ("unfreeze", "gradual"),
        ("batch_norm", "frozen"),
        ("fit_head", "True"),
    ],
)
def test_initial_values_that_were_drawn_are_not_frozen(
    pictures: Path, dataset: Dataset, name: str, value: str
) -> None:
    with pytest.raises(UserError, match=rf"training\.{name} = {value}: no weights are loaded"):
        notes_of(pictures, dataset, None, **{f"training.{name}": value})


def test_more_stages_than_there_are(pictures: Path, dataset: Dataset, weights: str) -> None:
    with pytest.raises(UserError, match=r"training\.freeze = 9: .* has 4 stages"):
        notes_of(pictures, dataset, weights, **{"training.freeze": "9"})
