"""Every reader of the package: one line for what is no plain file, and no other way to open one."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import trickbag
from trickbag.checksums import has_seal
from trickbag.data.config import DataConfig
from trickbag.data.dataset import read_errors
from trickbag.data.decoding.cache import CheckCache
from trickbag.data.policies.policy_file import PolicyFile
from trickbag.data.sources import open_source
from trickbag.data.sources.arrow.source import open_pack
from trickbag.data.teacher_logits import TeacherLogits
from trickbag.errors import UserError
from trickbag.evaluate.average_temperature import read_temperatures
from trickbag.evaluate.inputs import find_inputs
from trickbag.models.deleted_weights import DELETED_WEIGHTS, DeletedWeights
from trickbag.models.official.variables import read_variables
from trickbag.models.weights import load, weights_digest
from trickbag.recipes import load as load_recipe
from trickbag.report.run.records import read_record
from trickbag.study.folder import StudyFolder
from trickbag.tasks.box_predictions import BoxPredictions
from trickbag.train import checkpoint
from trickbag.train.folder.epochs import read_epochs
from trickbag.train.folder.image_scores import read_image_scores
from trickbag.train.folder.predictions import read_predictions
from trickbag.train.folder.result import Result
from trickbag.train.folder.run_recipe import RunRecipe

if TYPE_CHECKING:
    from collections.abc import Callable

READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "recipe of a run": ("recipe.json", RunRecipe.read),
    "run": ("recipe.json", lambda file: read_record(file.parent)),
    "result": ("result.json", Result.read),
    "metrics": ("metrics.jsonl", read_epochs),
    "predictions": ("predictions.csv", read_predictions),
    "image scores": (
        "image_scores.npz",
        lambda file: read_image_scores(file, "val", "loss"),
    ),
    "data errors": ("data_errors.csv", read_errors),
    "checkpoint": ("last.ckpt", checkpoint.damage),
    "seal": ("places.npy", has_seal),
    "weights": ("best.safetensors", load),
    "weights of a folder": ("best.safetensors", lambda file: load(file.parent)),
    "digest of weights": ("best.safetensors", weights_digest),
    "deleted weights": (DELETED_WEIGHTS, lambda file: DeletedWeights.read(file.parent)),
    "variables": ("variables.npz", read_variables),
    "policy": ("policy.json", PolicyFile.read),
    "predicted boxes": ("boxes.json", BoxPredictions.read),
    "teacher logits": ("logits.arrow", TeacherLogits.open),
    "recipe in JSON": ("a.json", lambda file: load_recipe(str(file))),
    "recipe in YAML": ("a.yaml", lambda file: load_recipe(str(file))),
    "recipe in Python": ("a.py", lambda file: load_recipe(f"{file}:small")),
    "table": ("a.csv", lambda file: open_source(DataConfig(source=str(file)))),
    "table to predict": ("a.csv", lambda file: find_inputs([str(file)])),
    "pack": ("a.arrow", lambda file: open_pack(file, DataConfig(source=str(file)))),
    "temperatures of averages": ("average_temperatures.json", read_temperatures),
    "study": ("study.json", lambda file: StudyFolder(file.parent).read_study()),
    "results": ("results.jsonl", lambda file: StudyFolder(file.parent).read_results()),
    "effects": ("effects.json", lambda file: StudyFolder(file.parent).read_effects()),
}
FORMS: dict[str, Callable[[Path], object]] = {
    "named pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_plain_file(tmp_path: Path, reader: str, form: str) -> None:
    name, read = READERS[reader]
    file = tmp_path / name
    FORMS[form](file)
    with pytest.raises(UserError) as error:
        read(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", FORMS)
def test_a_cache_of_the_check_that_is_no_plain_file(tmp_path: Path, form: str) -> None:
    file = CheckCache(tmp_path, "photos").path
    file.parent.mkdir()
    FORMS[form](file)
    assert CheckCache(tmp_path, "photos").damaged


ROOT = Path(trickbag.__file__).parent
ALLOWED = {
    "paths.py": "the function that opens",
    "files.py": "writes; opens folders",
    "locks.py": "locks, through no link and without waiting",
    "memory.py": "files of the system",
    "train/machine/environment.py": "files of the system",
    "train/machine/memory.py": "files of the system",
    "train/machine/load.py": "files of the system",
    "train/torn_code.py": "compiled code of torch's cache",
    "data/cpu_limit.py": "files of the system",
    "report/cards.py": "documents of the package",
    "report/citations.py": "a document of the package",
    "data/sources/digits.py": "a file of scikit-learn's package",
    "cli/streams.py": "the standard streams",
    "cli/new.py": "the checkout of a developer",
    "data/decoding/decode.py": "images, with errors of their own",
    "data/decoding/in_memory.py": "writes",
    "data/packing/partial.py": "writes",
    "data/sources/webdataset/storage.py": "shards, at addresses too, with errors of their own",
    "study/result_lines.py": "appends",
}
"""The files that may open others by themselves, and why."""


def opening_calls(path: Path) -> list[int]:
    """Return the lines that open a file, or read one, by Python's own means."""
    lines = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Attribute):
            by_path = function.attr in ("read_text", "read_bytes") and not (
                isinstance(function.value, ast.Name) and function.value.id in ("paths", "files")
            )
            by_os = ast.unparse(function) in ("os.open", "os.fdopen", "io.open")
            modes = [a.value for a in node.args if isinstance(a, ast.Constant)]
            by_mode = function.attr == "open" and (
                any(isinstance(mode, str) and set(mode) <= set("rwabxt+") for mode in modes)
                or any(keyword.arg in ("encoding", "newline") for keyword in node.keywords)
            )
            if by_path or by_os or by_mode:
                lines.append(node.lineno)
        elif isinstance(function, ast.Name) and function.id == "open":
            lines.append(node.lineno)
    return lines


def test_files_are_opened_in_one_place() -> None:
    calls = {str(path.relative_to(ROOT)): opening_calls(path) for path in ROOT.rglob("*.py")}
    others = {name: lines for name, lines in calls.items() if lines and name not in ALLOWED}
    assert not others, f"use trickbag.paths.open_regular, or say here why not: {others}"
