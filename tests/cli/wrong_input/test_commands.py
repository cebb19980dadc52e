"""Commands, options and recipes that do not exist, and the commands `show`, `list` and `bench`."""

from __future__ import annotations

from typing import Any

from tests.cli.wrong_input.lines import Check, wrong_lines

Call = Any

RECIPES = [
    ("train smalll", ["no recipe 'smalll'", "bag_of_tricks", "FILE.py:FUNCTION"]),
    ("train {tmp}/absent.yaml", ["cannot read the recipe", "absent.yaml", "No such file"]),
    ("train {tmp}/empty", ["{tmp}/empty", "no run's folder", "recipe.json"]),
    ("train {tmp}/absent.py:mine", ["no file", "absent.py", "'mine'"]),
    ("train {tmp}/recipes.py:mine", ["no function 'mine'", "it has: broken, text"]),
    ("train {tmp}/recipes.py:broken", ["recipes.py:broken failed", "ZeroDivisionError"]),
    ("train {tmp}/recipes.py:text", ["returned str, not a Recipe"]),
    ("train {tmp}/syntax.py:mine", ["syntax.py:mine failed", "SyntaxError"]),
]

OPTIONS = [
    ("train --no-such-option", ["--no-such-option", "--help"]),
    ("train small baseline", ["unrecognized arguments: baseline", "--help"]),
    ("trian", ["'trian'", "choose from", "evaluate"]),
    ("--verbose", ["--verbose", "--help"]),
]

SHOW = [
    ("show smalll", ["no recipe 'smalll'", "small"]),
    ("show --data {tmp}/absent", ["{tmp}/absent", "does not exist"]),
    ("show --epochs 0", ["training.epochs = 0", "at least 1"]),
    ("show --picture {tmp}/drawing.jpg", ["drawing.jpg", ".png"]),
    ("show --picture {tmp}/absent/drawing.png", ["no folder {tmp}/absent"]),
    ("show --picture {tmp}/folder.png", ["folder.png", "is a folder"]),
    ("show --model timm:resnet50", ["resnet_d", "timm:resnet50"]),
]

LIST = [
    ("list", ["tricks|recipes|models|datasets", "--help"]),
    ("list trick", ["'trick'", "tricks, recipes, models, datasets"]),
]

BENCH = [
    ("bench", ["data|train|infer", "--help"]),
    ("bench everything", ["'everything'", "train", "infer"]),
    ("bench train --seconds 0", ["--seconds '0'", "above 0"]),
    ("bench train --seconds soon", ["--seconds 'soon'", "at most 3600"]),
    ("bench train --seconds nan", ["--seconds 'nan'", "at most 3600"]),
    ("bench train smalll", ["no recipe 'smalll'", "small"]),
    ("bench train --data {tmp}/absent", ["{tmp}/absent", "does not exist"]),
    ("bench train --device tpu", ["training.device = 'tpu'"]),
    ("bench train --out {tmp}/new", ["--out"]),
    ("bench infer", ["RUN|NAME", "--help"]),
    ("bench infer {tmp}/absent", ["{tmp}/absent"]),
    ("bench infer {tmp}/empty", ["{tmp}/empty"]),
    ("bench infer timm:resnet_50", ["resnet_50"]),
    ("bench infer {run} --device tpu", ["--device = 'tpu'"]),
    ("bench infer {run} --batch-size 0", ["--batch-size", "at least 1"]),
    ("bench infer {run} --precision int8", ["--precision", "int8"]),
    ("bench infer {run} --seconds -1", ["--seconds '-1'", "above 0"]),
    ("bench infer {run} --data {tmp}/absent", ["{tmp}/absent", "does not exist"]),
    ("bench data", ["SOURCE", "--help"]),
    ("bench data {tmp}/absent", ["{tmp}/absent", "does not exist"]),
    ("bench data {tmp}/empty", ["{tmp}/empty", "no class folders"]),
    ("bench data digits --seconds 0", ["--seconds '0'", "above 0"]),
    ("bench data digits --seconds nan", ["--seconds 'nan'", "above 0"]),
    ("bench data digits --seconds soon", ["--seconds 'soon'", "at most 3600"]),
    ("bench data digits --image-size 4", ["data.image_size", "at least 8"]),
    ("bench data digits --image-size wide", ["data.image_size", "'wide'"]),
    ("bench data digits --json=yes", ["--json"]),
    ("bench data digits --set training.lr=1", ["training.lr=1", "bench looks at data alone"]),
    ("bench data digits --set data.channels=0", ["1 channel", "leave data.channels out"]),
]


@wrong_lines(RECIPES, OPTIONS, SHOW, LIST, BENCH)
def test_wrong_input_is_one_line_and_exit_2(line: str, says: list[str], check: Check) -> None:
    check(line, says)


def test_a_name_with_a_line_break_stays_one_line(call: Call) -> None:
    code, _, err = call("doctor", "no\nsuch\nfolder")
    assert code == 2
    assert err.count("\n") == 1
