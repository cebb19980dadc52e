"""The tables of `docs/data.md`: each row of your files with what you type, tried on such files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.images import encode, photo
from tests.builders.sources import drawn_items, write_hf_parquet, write_tar
from trickbag import cli
from trickbag.cli.recipe_options import recipe_from
from trickbag.data.config import DataConfig
from trickbag.data.packing.pack import write_pack
from trickbag.data.sources import open_source

PAGE = Path(__file__).parents[1] / "docs" / "data.md"


def rows(first_cell: str) -> list[list[str]]:
    """Return the rows of the table whose header begins with a cell."""
    _, _, rest = PAGE.read_text().partition(f"\n| {first_cell} |")
    table = rest.partition("\n\n")[0].splitlines()[2:]
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in table]


def commands(cell: str) -> list[str]:
    return [text for text in re.findall(r"`([^`]+)`", cell) if text.startswith("--")]


def images(*names: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        for i, name in enumerate(names):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(encode(photo(8, 6, i), "JPEG"))

    return write


def table(name: str, text: str, *names: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        images(*names)(root)
        (root / name).write_text(text)

    return write


def shards(root: Path) -> None:
    (root / "shards").mkdir()
    for part in ("train", "val"):
        entries = [
            entry
            for i, label in enumerate(("cat", "dog"))
            for entry in ((f"{i}.png", encode(photo(8, 6, i), "PNG")), (f"{i}.cls", label.encode()))
        ]
        write_tar(root / "shards" / f"{part}-000.tar", entries)


def parquet(root: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    images("1.jpg", "2.jpg")(root)
    pq.write_table(pa.table({"image": ["1", "2"], "label": ["a", "b"]}), root / "table.parquet")


def pack(root: Path) -> None:
    images("photos/cat/1.jpg", "photos/dog/1.jpg")(root)
    write_pack(DataConfig(source=str(root / "photos")), root / "photos.arrow")


def hub_files(root: Path) -> None:
    (root / "pets.hf").mkdir()
    write_hf_parquet(root / "pets.hf", drawn_items())


ALL = "1.jpg", "2.jpg", "3.jpg", "4.jpg"
FILES: dict[str, tuple[Callable[[Path], None], dict[str, int]]] = {
    "--data photos": (images("photos/cat/1.jpg", "photos/dog/1.jpg"), {"train": 2}),
    "--data pets": (
        images("pets/train/cat/1.jpg", "pets/train/dog/1.jpg", "pets/val/cat/2.jpg"),
        {"train": 2, "val": 1},
    ),
    "--data archive": (
        images(
            *(
                f"archive/pets/{part}/{i}.jpg"
                for part in ("Training/cat", "Training/dog")
                for i in ALL
            ),
            *(f"archive/pets/Testing/{label}/5.jpg" for label in ("cat", "dog")),
        ),
        {"train": 8, "test": 2},
    ),
    "--data folds --set data.parts=train:one,val:two": (
        images(*(f"folds/{fold}/{label}/1.jpg" for fold in ("one", "two") for label in ("a", "b"))),
        {"train": 2, "val": 2},
    ),
    "--data photos --val-data checked": (
        images("photos/cat/1.jpg", "photos/dog/1.jpg", "checked/cat/2.jpg", "checked/dog/2.jpg"),
        {"train": 2, "val": 2},
    ),
    "--data train.csv": (
        table("train.csv", "id,label\n1,a\n2.jpg,b\n", "train/1.jpg", "train/2.jpg"),
        {"train": 2},
    ),
    "--data labels.csv --image-root images --set data.image_column=pic --set "
    "data.label_column=kind": (
        table("labels.csv", "pic;kind;note\n1;a;x\n2;b;y\n", "images/1.jpg", "images/2.jpg"),
        {"train": 2},
    ),
    "--data parts.csv": (
        table(
            "parts.csv",
            "image,label,split\n1,a,train\n2,b,train\n3,a,val\n4,b,test\n",
            *ALL,
        ),
        {"train": 2, "val": 1, "test": 1},
    ),
    "--data patients.csv --set data.group_column=patient": (
        table("patients.csv", "image,label,patient\n1,a,p\n2,b,q\n3,a,p\n4,b,r\n", *ALL),
        {"train": 4},
    ),
    "--data tags.csv --set data.multi_label=true": (
        table("tags.csv", "image,label\n1,cat|dog\n2,dog\n3,cat\n", *ALL[:3]),
        {"train": 3},
    ),
    "--data table.parquet": (parquet, {"train": 2}),
    "--data hf:pets.hf": (hub_files, {"train": 6, "val": 2, "test": 2}),
    "--data wds:shards": (shards, {"train": 2, "val": 2}),
    "--data photos.arrow": (pack, {"train": 2}),
    "--data digits": (images(), {"train": 1797}),
}
"""Files of each row, and the number of images in each part. Those left out need a network."""
NEED_A_NETWORK = {
    "--data hf:beans",
    "--data 'wds:https://host/train-{000..099}.tar'",
    "--data torchvision:CIFAR10",
}


def data_of(arguments: str) -> DataConfig:
    parser = cli._parser(cli.COMMANDS)
    return recipe_from(parser.parse_args(["train", *shlex.split(arguments)])).data


def test_every_row_is_tried() -> None:
    typed = [command for _, cell, *_ in rows("your files") for command in commands(cell)]
    assert {*typed} == {*FILES, *NEED_A_NETWORK}
    for command in typed:
        assert data_of(command).source in command


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=pytest.mark.slow if "hf:" in command else ())
        for command in FILES
    ],
)
def test_what_you_type_for_your_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    write, parts = FILES[command]
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    source = open_source(data_of(command))
    assert {name: len(part) for name, part in source.parts.items()} == parts
    assert len(source.classes) >= 2
    assert source.left_out == ()


def test_what_you_add() -> None:
    typed = [command for _, cell in rows("what is special") for command in commands(cell)]
    assert len(typed) >= 8
    for command in typed:
        assert data_of(command) != data_of("")
