"""Runs of folds, and the commands `blend` and `soup`, which combine runs."""

from __future__ import annotations

from tests.cli.wrong_input.lines import Check, wrong_lines

FOLDS = [
    ("train --folds 1", ["--folds", "at least 2", "at most 100"]),
    ("train --folds many", ["--folds", "whole number"]),
    ("train --workers 2", ["--workers is for the runs of folds", "--folds K"]),
    ("train --folds 3 --workers 0", ["--workers", "at least 1"]),
    ("train --folds 3 --address auto", ["--address is for --executor ray"]),
    ("train --folds 3 --resume", ["--resume needs the folder"]),
    ("train --folds 3 --out {run}", ["is not empty and holds no cross-validation", "--out"]),
    ("train --folds 3 --set data.fold=3 --set data.folds=5", ["fold 3 of 5", "leave these"]),
    ("train detection --folds 3 --data {tmp}/empty", ["trains classifiers", "detection"]),
    ("train --set data.fold=1", ["data.fold = 1", "without data.folds there are none"]),
    ("train --folds 100 --data {photos}", ["data.folds = 100", "take fewer folds"]),
]

BLEND = [
    ("blend", ["DIR", "--help"]),
    ("blend {run}", ["needs the file to write", "--out FILE"]),
    ("blend {run} --out {tmp}/blend.json", ["nothing to blend", "two or more"]),
    ("blend {run} {tmp}/empty --out {tmp}/blend.json", ["is no cross-validation", "--folds K"]),
    ("blend {run} {tmp}/empty --out {tmp}/blend", ["must end in .json"]),
]

SOUP = [
    ("soup", ["RUN", "--help"]),
    ("soup {run}", ["needs the file to write", "--out FILE"]),
    ("soup {run} --out {tmp}/soup.safetensors", ["nothing to average", "two or more"]),
    ("soup {run} {run} --out {tmp}/soup.txt", ["must end in .safetensors"]),
    ("soup {run} {tmp}/empty --out {tmp}/soup.safetensors", ["{tmp}/empty"]),
    ("soup {run} {run} --out {run}/best.safetensors", ["is a file of the run itself"]),
]


@wrong_lines(FOLDS, BLEND, SOUP)
def test_wrong_input_is_one_line_and_exit_2(line: str, says: list[str], check: Check) -> None:
    check(line, says)
