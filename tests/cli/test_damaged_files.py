"""Recipes and runs whose files are damaged, or say things of the wrong type in any place."""

from __future__ import annotations

import json
import os
import shutil
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.builders.recipes import tiny_recipe
from trickbag.errors import UserError
from trickbag.models.weights import load_with_metadata, save_weights
from trickbag.recipe import Recipe
from trickbag.recipes import small
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Call = Any

VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    "x",
    "",
    [],
    [1],
    {},
    {"x": 1},
    {"kind": []},
    {"kind": "x"},
    [[]],
    [{}],
]


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value within plain data."""
    items = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    return [place for key, value in items for place in [(*path, key), *places(value, (*path, key))]]


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(data))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


RECIPE = small().to_dict()


@pytest.mark.parametrize("path", places(RECIPE), ids=lambda path: ".".join(map(str, path)))
def test_a_wrong_type_anywhere_is_an_error_of_the_user(path: tuple[Any, ...]) -> None:
    refused = allowed = 0
    for value in VALUES:
        try:
            Recipe.from_dict(changed(RECIPE, path, value)).to_dict()
        except UserError as error:
            refused += "\n" not in str(error)
        else:
            allowed += 1
    assert refused + allowed == len(VALUES)
    assert refused >= 5, path


@pytest.mark.slow
@given(st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_plain_data_breaks_the_reader(data: st.DataObject) -> None:
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
        ),
        max_leaves=5,
    )
    value = data.draw(anything)
    path = data.draw(st.sampled_from([(), *places(RECIPE)]))
    try:
        Recipe.from_dict(changed(RECIPE, path, value) if path else value)
    except UserError:
        return


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", "", "is not JSON: line 1"),
        ("a.json", '{"schema": 1,\n "model": }', "is not JSON: line 2"),
        ("a.json", "[1, 2]", "a recipe is a mapping"),
        ("a.json", "[" * 100_000, "cannot be read as JSON"),
        ("a.json", '{"training": {"epochs": ' + "9" * 5000 + "}}", "cannot be read as JSON"),
        ("a.json", '{"schema": 2}', "reads recipes of schema 1"),
        ("a.json", '{"trainig": {}}', "a recipe has no part 'trainig'"),
        ("a.json", '{"training": {"epoch": 1}}', "training has no setting 'epoch'"),
        ("a.json", '{"training": {"lr": NaN}}', "training.lr = nan"),
        ("a.json", '{"tricks": {"mixpu": {}}}', "did you mean mixup"),
        ("a.json", '{"tricks": ["mixup"]}', "must be a mapping of names to settings"),
        ("a.json", '{"tricks": {"cosine_decay": {}, "step_decay": {}}}', "exclude each other"),
        ("a.yaml", "", "a recipe is a mapping"),
        ("a.yaml", "schema: 1\nmodel: [", "is not YAML: line 2"),
        ("a.yaml", "training:\n\tepochs: 3", "is not YAML: line 2"),
        ("a.yaml", "name: 2026-99-99", "cannot be read as YAML"),
        ("a.yaml", "name: 2026-01-01", "name"),
        ("a.yaml", "!!python/object/apply:os.system ['true']", "is not YAML"),
        ("a.yaml", "{[1, 2]: 3}", "is not YAML"),
        ("a.yml", "model: resnet51", "no model 'resnet51'"),
        ("a.yaml", "training: {epochs: ten}", "training.epochs = 'ten'"),
    ],
)
def test_a_damaged_recipe_file(tmp_path: Path, call: Call, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    code, out, err = call("show", tmp_path / name)
    assert code == 2
    assert says in err
    assert name in err
    assert err.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize("make", ["folder", "link", "bytes", "closed"])
def test_a_recipe_file_that_cannot_be_read(tmp_path: Path, call: Call, make: str) -> None:
    path = tmp_path / "a.yaml"
    if make == "folder":
        path.mkdir()
    elif make == "link":
        path.symlink_to(tmp_path / "nowhere")
    elif make == "bytes":
        path.write_bytes(b"\xff\xfe\x00")
    else:
        path.touch(mode=0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
    code, _, err = call("show", path)
    assert code == 2
    assert str(path) in err
    assert err.count("\n") == 1


def rewrite(run: Path, **metadata: Any) -> None:
    """Change what a run's weights file says about itself; None takes a part out.

    Without its checksum, so that the record is read, as in a file that has none.
    """
    path = run / "best.safetensors"
    with safe_open(path, framework="pt") as file:
        changed = json.loads(file.metadata()["trickbag"]) | {"checksum": None} | metadata
    kept = {key: value for key, value in changed.items() if value is not None or key == "columns"}
    save_file(load_file(path), path, {"trickbag": json.dumps(kept)})


def make_folder(run: Path) -> None:
    (run / "best.safetensors").unlink()
    (run / "best.safetensors").mkdir()


def cut(run: Path) -> None:
    data = (run / "best.safetensors").read_bytes()
    (run / "best.safetensors").write_bytes(data[: len(data) // 2])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda run: (run / "best.safetensors").unlink(), "best.safetensors"),
    "empty weights": (
        lambda run: (run / "best.safetensors").write_bytes(b""),
        "cannot be read as safetensors",
    ),
    "cut weights": (cut, "cannot be read as safetensors"),
    "text for weights": (
        lambda run: (run / "best.safetensors").write_text("x" * 100),
        "cannot be read as safetensors",
    ),
    "a folder for weights": (
        make_folder,
        "best.safetensors",
    ),
    "foreign weights": (
        lambda run: save_file(load_file(run / "best.safetensors"), run / "best.safetensors"),
        "does not say which network",
    ),
    "no model": (lambda run: rewrite(run, model=None), "does not say which network"),
    "another record": (
        lambda run: rewrite(run, checksum="crc32:00000000"),
        "are damaged (its checksum does not match)",
    ),
    "wrong model": (
        lambda run: rewrite(run, model={"kind": "resnet", "depth": 20, "num_classes": 3}),
        "depth = 20",
    ),
    "model of no kind": (lambda run: rewrite(run, model=3), "best.safetensors"),
    "another model": (
        lambda run: rewrite(run, model={"kind": "resnet", "depth": 34, "num_classes": 3}),
        "does not fit",
    ),
    "no classes": (lambda run: rewrite(run, classes=None), "the names of the classes"),
    "classes of numbers": (lambda run: rewrite(run, classes=[1, 2, 3]), "the names of the classes"),
    "too few classes": (lambda run: rewrite(run, classes=["a", "b"]), "as many class names"),
    "classes twice": (lambda run: rewrite(run, classes=["a", "b", "a"]), "as many class names"),
    "no preprocessing": (lambda run: rewrite(run, preprocessing=None), "how images are prepared"),
    "half a preprocessing": (
        lambda run: rewrite(run, preprocessing={"image_size": 16}),
        "lacks the setting 'resize'",
    ),
    "wrong preprocessing": (
        lambda run: rewrite(run, preprocessing={"image_size": "16"}),
        "how images are prepared",
    ),
    "wrong columns": (lambda run: rewrite(run, columns=["id"]), "columns"),
    "empty recipe": (lambda run: (run / "recipe.json").write_text(""), "recipe.json"),
    "recipe of bytes": (lambda run: (run / "recipe.json").write_bytes(b"\xff\xfe"), "recipe.json"),
    "recipe that is a list": (lambda run: (run / "recipe.json").write_text("[]"), "recipe.json"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run(run: Path, photos: Path, tmp_path: Path, call: Call, damage: str) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    harm, says = DAMAGE[damage]
    harm(copy)
    for argv in (["evaluate", copy, "--data", photos], ["predict", copy, photos]):
        code, out, err = call(*argv)
        assert code == 2, err
        assert says in err
        assert str(copy) in err
        assert err.count("\n") == 1
        assert out == ""


def resolved_places(run: Path) -> list[tuple[Any, ...]]:
    return [
        ("resolved", *place)
        for place in places(json.loads((run / "recipe.json").read_text())["resolved"])
    ]


@pytest.mark.slow
def test_a_plan_with_a_wrong_type_anywhere(
    run: Path, photos: Path, tmp_path: Path, call: Call
) -> None:
    copy = tmp_path / "run"
    copy.mkdir()
    shutil.copy(run / "best.safetensors", copy)
    record = json.loads((run / "recipe.json").read_text())
    image = next(photos.rglob("*.png"))
    # A model that is not the weights' own is no plan of theirs; texts and settings that may be
    # absent admit more.
    top = [place for place in resolved_places(run) if len(place) == 2 and place[1] != "model"]
    assert len(top) > 10
    # What is settled in a part of the plan, such as the image size, is not missed at its top.
    settled = record["resolved"]["data"] | record["resolved"]["training"]
    for place in top:
        (copy / "recipe.json").write_text(json.dumps(changed(record, place, {"x": 1})))
        code, _, err = call("predict", copy, image)
        assert (code, err.count("\n")) == (2, 1), (place, err)
        assert "recipe.json" in err
        assert str(place[1]) in err
        del record["resolved"][place[1]]
        (copy / "recipe.json").write_text(json.dumps(record))
        code, _, err = call("predict", copy, image)
        if place[1] in settled:
            assert code == 0, (place, err)
        else:
            assert (code, err.count("\n")) == (2, 1), (place, err)
            assert f"lacks the setting '{place[1]}'" in err
        record = json.loads((run / "recipe.json").read_text())


@pytest.mark.parametrize(
    "name", ["recipe.json", "metrics.jsonl", "result.json", "environment.json", "predictions.csv"]
)
@pytest.mark.parametrize(
    "text", ["{", "\x00", "[1]\n", '{"epoch": "x", "metrics": 3, "warnings": 4}']
)
def test_a_report_of_a_damaged_run(
    run: Path, tmp_path: Path, call: Call, name: str, text: str
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / name).write_text(text)
    code, _, err = call("report", copy, "--out", tmp_path / "page.html")
    if text.startswith('{"epoch"') and name in ("environment.json", "recipe.json"):
        assert code == 0, err  # what these hold is shown as it is
        return
    assert code == 2, err
    assert name in err
    assert err.count("\n") == 1


def test_weights_without_numbers(run: Path, photos: Path, tmp_path: Path, call: Call) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    network, metadata = load_with_metadata(copy)
    for tensor in network.parameters():
        tensor.data.fill_(float("nan"))
    save_weights(network, copy / "best.safetensors", metadata)
    code, out, err = call("evaluate", copy, "--workers", 0, "--json")
    assert (code, out) == (1, "")
    assert "best.safetensors, epoch" in err
    assert "gives logits that are not finite for all 6 images; try --precision float32" in err
    code, out, err = call("predict", copy, photos)
    assert code == 1
    assert out.count("error: the network gives logits that are not finite") == 36
    assert "36 of 36 images could not be predicted" in err
    code, _, err = call("train", "--data", photos, "--init", copy, "--out", tmp_path / "other")
    assert code == 2
    assert "best.safetensors holds values that are no numbers (NaN), in " in err


@pytest.mark.parametrize("name", ["recipe.json", "metrics.jsonl", "result.json", "predictions.csv"])
def test_a_report_of_files_that_are_no_plain_files(
    run: Path, tmp_path: Path, call: Call, name: str
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    forms: dict[str, Callable[[Path], object]] = {
        "a named pipe": os.mkfifo,
        "a folder": lambda file: file.mkdir(),
        "a device": lambda file: file.symlink_to("/dev/zero"),
        "bytes": lambda file: (file.touch(), os.truncate(file, 2**41)),
    }
    for says, make in forms.items():
        shutil.rmtree(copy / name) if (copy / name).is_dir() else (copy / name).unlink()
        make(copy / name)
        code, out, err = call("report", copy, "--out", tmp_path / "page.html")
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert f"cannot read {copy / name}: it " in err
        assert says in err


@pytest.mark.parametrize(
    "argv",
    [
        ("train", "--out", ""),
        ("train", "--out="),
        ("train", ""),
        ("train", "--init", ""),
        ("study", "--out", ""),
        ("report", ""),
        ("predict", "", "x.png"),
        ("export", "run", "--out", ""),
    ],
)
def test_an_empty_argument(argv: tuple[str, ...], call: Call) -> None:
    code, out, err = call(*argv)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert "is empty" in err


@pytest.mark.parametrize(
    "argv",
    [
        ("report", "LONG"),
        ("evaluate", "LONG"),
        ("train", "--resume", "--out", "LONG"),
        ("train", "LONG"),
        ("train", "--init", "LONG"),
        ("train", "--data", "LONG"),
        ("study", "--out", "LONG", "--dry-run"),
        ("predict", "LONG", "x.png"),
    ],
    ids=" ".join,
)
def test_a_name_that_is_too_long(argv: tuple[str, ...], call: Call) -> None:
    code, out, err = call(*(word.replace("LONG", "x" * 300) for word in argv))
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert "x" * 300 in err


YAML = {
    "within itself": "training: &a {epochs: *a}",
    "a list within itself": "tricks: &a [*a]",
    "many times": "a: &a [1,1,1,1,1,1,1,1,1]\n"
    + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghijk")),
    "a number of many digits": f"name: 0x{'f' * 5000}",
}


@pytest.mark.parametrize("form", YAML)
def test_a_recipe_without_end(tmp_path: Path, call: Call, form: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(YAML[form])
    code, out, err = call("show", path)
    assert (code, out, err.count("\n")) == (2, "", 1), err[:1000]
    assert len(err) < 2000


def test_a_recipe_does_not_choose_the_folder_of_its_runs(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    fit(tiny_recipe(photos, epochs=1).replace(name="../../x"), log=RunLog())
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    assert [path.name for path in (tmp_path / "work/runs").iterdir()] == ["-.-..-x-photos-1"]
    with pytest.raises(UserError, match="out is empty"):
        fit(tiny_recipe(photos, epochs=1), out="")
