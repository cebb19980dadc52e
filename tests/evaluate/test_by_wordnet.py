"""Classes of ImageNet by the WordNet ids in the names of folders and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders.images import encode, photo
from tests.builders.trained import halves_network
from trickbag.data.config import DataConfig
from trickbag.errors import UserError
from trickbag.evaluate import evaluate
from trickbag.evaluate.by_wordnet import open_by_wordnet
from trickbag.models.imagenet import names_wordnet_ids, wordnet_id

IDS = ("n01440764", "n02102040", "n03000684")


def image(root: Path, name: str) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encode(photo(), "PNG"))


def listing(root: Path) -> dict[str, list[tuple[str, str]]]:
    source = open_by_wordnet(DataConfig(source=str(root)), IDS)
    return {
        name: [(file, source.classes[k]) for file, k in zip(part.names, part.labels, strict=True)]
        for name, part in source.parts.items()
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("n01440764_18.JPEG", "n01440764"),
        ("n01440764.png", "n01440764"),
        ("n01440764", "n01440764"),
        ("n014407641.png", None),
        ("n0144076.png", None),
        ("xn01440764.png", None),
        ("N01440764.png", None),
    ],
)
def test_the_id_that_a_name_begins_with(name: str, expected: str | None) -> None:
    assert wordnet_id(name) == expected


def test_which_networks_have_ids() -> None:
    assert names_wordnet_ids(IDS)
    assert names_wordnet_ids(("background", *IDS))
    assert not names_wordnet_ids((*IDS, "tench"))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            ["n01440764_a.png", "n03000684_b.png"],
            {"train": [("n01440764_a.png", IDS[0]), ("n03000684_b.png", IDS[2])]},
        ),
        (["n01440764/x.png"], {"train": [("n01440764/x.png", IDS[0])]}),
        (
            ["fish/n01440764_a.png", "dog/n02102040_b.png"],
            {"train": [("dog/n02102040_b.png", IDS[1]), ("fish/n01440764_a.png", IDS[0])]},
        ),
        (
            ["train/n01440764_a.png", "val/n02102040_b.png"],
            {
                "train": [("train/n01440764_a.png", IDS[0])],
                "val": [("val/n02102040_b.png", IDS[1])],
            },
        ),
        (["val/n02102040/n9.png"], {"val": [("val/n02102040/n9.png", IDS[1])]}),
    ],
    ids=["flat", "ids as folders", "other folders", "flat parts", "part"],
)
def test_folders(
    tmp_path: Path, files: list[str], expected: dict[str, list[tuple[str, str]]]
) -> None:
    for file in files:
        image(tmp_path, file)
    assert listing(tmp_path) == expected


def test_what_has_no_id_is_passed_over_and_an_unknown_id_is_an_error(tmp_path: Path) -> None:
    for file in ("n01440764_a.png", "n01440764_c.png", "holiday.png"):
        image(tmp_path, file)
    network = halves_network(IDS)
    evaluation = evaluate(network, data=str(tmp_path), workers=0)
    assert evaluation.images == 2
    texts = [note.text for note in evaluation.notes]
    assert any("is the WordNet id that its name begins with" in text for text in texts)
    assert any("no image of 2 of the network's 3 classes" in text for text in texts)
    assert any("1 without an id" in text for text in texts)
    image(tmp_path, "n09999999_a.png")
    with pytest.raises(UserError, match="does not know: 'n09999999'"):
        evaluate(network, data=str(tmp_path), workers=0)


def test_a_folder_without_ids_is_the_error_that_it_was(tmp_path: Path) -> None:
    image(tmp_path, "holiday.png")
    with pytest.raises(UserError, match="1 image but no class folders"):
        listing(tmp_path)
    image(tmp_path, "cat/a.png")
    with pytest.raises(UserError, match="does not know: 'cat'"):
        evaluate(halves_network(IDS), data=str(tmp_path), workers=0)
