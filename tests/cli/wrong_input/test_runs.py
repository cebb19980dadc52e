"""Runs to write, resume, evaluate, predict with, report and export."""

from __future__ import annotations

from tests.cli.wrong_input.lines import Check, wrong_lines

RUNS = [
    "{tmp}/absent",
    "{tmp}/empty",
    "{tmp}/notes.txt",
    "{tmp}/empty.safetensors",
    "{tmp}/cut.safetensors",
]

OUT = [
    ("train --out {run}", ["{run}", "already holds a run", "--resume"]),
    ("train --out {tmp}/notes.txt", ["notes.txt"]),
    ("train --out {tmp}/notes.txt/run", ["notes.txt/run"]),
    ("train --resume", ["--resume", "--out DIR"]),
    ("train --resume --out {run} --epochs 7", ["holds another trial", "epochs (7, not 2)"]),
    ("train --resume --out {run} --seed 5", ["holds another trial", "seed (5, not 0)"]),
    ("train --resume --out {tmp}/broken_recipe", ["broken_recipe/recipe.json"]),
]

EVALUATE = [
    *[(f"evaluate {run}", [run]) for run in RUNS],
    ("evaluate", ["RUN", "--help"]),
    ("evaluate {run} --part validation", ["--part = 'validation'", "train, val, test"]),
    ("evaluate {run} --part test", ["no test part", "train, val"]),
    ("evaluate {run} --device gpu", ["--device = 'gpu'", "auto, cpu, cuda"]),
    *[
        (f"evaluate {{run}} --batch-size {value}", ["--batch-size", value, "whole number"])
        for value in ("0", "x", "1.5")
    ],
    ("evaluate {run} --workers -1", ["--workers = -1", "at least 0"]),
    *[
        (f"evaluate {{run}} --limit {value}", ["--limit", value, "whole number"])
        for value in ("0", "-3", "x", "1.5")
    ],
    ("evaluate {run} --limit", ["--limit"]),
    *[
        (f"evaluate {{run}} --target-accuracy {value}", ["--target-accuracy", value, says])
        for value, says in (
            ("0", "from 0 (excluded) to 100"),
            ("-3", "from 0 (excluded) to 100"),
            ("100.5", "from 0 (excluded) to 100"),
            ("nan", "number"),
            ("99%", "number"),
            ("", "number"),
        )
    ],
    ("evaluate {run} --seed 1", ["--seed is of evaluations with random draws"]),
    ("evaluate {run} --seed -1 --robustness", ["--seed", "at least 0"]),
    *[
        (f"evaluate {{run}} {option}", [option.split()[0], "--robustness"])
        for option in ("--extra-corruptions", "--corrupted {photos}", "--frost {photos}")
    ],
    *[
        (f"evaluate {{run}} --robustness {option} {{tmp}}/absent", ["absent", "no folder"])
        for option in ("--corrupted", "--frost")
    ],
    ("evaluate {run} --robustness --corrupted {photos}", ["--corrupted", "CORRUPTION/SEVERITY"]),
    ("evaluate {run} --robustness --corrupted {photos} --frost {photos}", ["--frost", "one"]),
    ("evaluate {run} --robustness --frost {photos}", ["frost", "frost1.png"]),
    ("evaluate {run} --data {tmp}/absent", ["{tmp}/absent", "does not exist"]),
    (
        "evaluate {run} --data digits",
        ["does not know: '0', '1', '2' and 7 more", "it knows one, three, zero"],
    ),
    ("evaluate {run} --image-root {tmp}", ["image_root", "is a folder"]),
    ("evaluate {tmp}/alone.safetensors", ["alone.safetensors", "--data SOURCE"]),
    ("evaluate {tmp}/broken_recipe", ["broken_recipe/recipe.json"]),
]

PREDICT = [
    *[
        (f"predict {{run}} {{photos}} --reject-below {value}", ["--reject-below", value, "stored"])
        for value in ("-0.1", "1.1", "nan", "80%", "none", "")
    ],
    (
        "predict {run} {photos} --reject-below stored",
        ["has no threshold yet", "--target-accuracy"],
    ),
    *[(f"predict {run} {{photos}}", [run]) for run in RUNS],
    ("predict {run}", ["PATH", "--help"]),
    ("predict {run} {tmp}/absent.png", ["absent.png", "no file or folder"]),
    ("predict {run} {tmp}/*.gif", ["*.gif", "matches nothing"]),
    ("predict {run} {tmp}/empty", ["{tmp}/empty holds no image"]),
    ("predict {run} {tmp}/bad.csv", ["bad.csv", "columns sort, kind", "'image' or 'id'"]),
    ("predict {run} {tmp}/lost.csv", ["none of the 2 images", "--image-root"]),
    ("predict {run} {tmp}/lost.csv {tmp}/bad.csv", ["one at a time"]),
    ("predict {run} {table} {photos}/one/000.png", ["only folders"]),
    ("predict {run} {table} --image-root {tmp}/absent", ["--image-root", "absent", "is no folder"]),
    ("predict {run} {photos} --image-root {photos}", ["--image-root", "no CSV file is given"]),
    *[(f"predict {{run}} {{photos}} --top {value}", [value]) for value in ("0", "-1", "x", "1.5")],
    ("predict {run} {photos} --top 4", ["--top 4", "only 3 classes"]),
    ("predict {run} {photos} --batch-size 0", ["--batch-size", "at least 1"]),
    ("predict {run} {photos} --device tpu", ["--device = 'tpu'", "auto, cpu, cuda"]),
    ("predict {run} {photos} --probabilities", ["--probabilities", "--csv FILE"]),
    ("predict {run} {photos} --csv {tmp}", ["--csv '{tmp}' is a folder"]),
    ("predict {run} {photos} --csv {tmp}/absent/out.csv", ["no folder {tmp}/absent"]),
    ("predict {kaggle} {table} --csv {table}", ["--csv", "train.csv", "overwritten"]),
    ("predict {run} {photos} --csv {photos}/one/000.png", ["000.png", "overwritten"]),
    (
        "predict {run} {photos} --csv {run}/predictions.csv",
        ["predictions.csv", "file of the run itself"],
    ),
]

REPORT = [
    ("report", ["DIR", "--help"]),
    ("report {tmp}/absent", ["{tmp}/absent", "run"]),
    ("report {tmp}/empty", ["{tmp}/empty is no run", "recipe.json"]),
    ("report {tmp}/notes.txt", ["notes.txt"]),
    ("report {run} {kaggle} {run}", ["not 3"]),
    ("report {run} {run}", ["same run"]),
    ("report {run} --format pdf", ["--format 'pdf'", "md, latex, csv, json"]),
    ("report {run} --out {tmp}/absent/page.html", ["absent"]),
    ("report {run} --out {tmp}", ["{tmp}"]),
    ("report {tmp}/broken_recipe", ["broken_recipe/recipe.json"]),
]

EXPORT = [
    *[(f"export {run} --format torch --out new", [run]) for run in RUNS],
    ("export {run}", ["--format", "--help"]),
    ("export --format onnx", ["RUN", "--help"]),
    ("export {run} --format tflite", ["--format = 'tflite'", "onnx, safetensors, torch"]),
    ("export {run} --format safetensors", ["best.safetensors is what is exported", "--out FILE"]),
    ("export {run} --format onnx --out {tmp}", ["--out '{tmp}' is a folder"]),
    ("export {run} --format onnx --out {tmp}/absent/x.onnx", ["no folder {tmp}/absent"]),
    ("export {run} --format onnx --out {tmp}/notes.txt", ["notes.txt exists", "--force"]),
    (
        "export {run} --format onnx --out {run}/recipe.json --force",
        ["recipe.json", "file of the run itself"],
    ),
    (
        "export {tmp}/alone.safetensors --format safetensors",
        ["alone.safetensors is what is exported", "--out FILE"],
    ),
    (
        "export {run} --format torch --network assemble50",
        ["--network 'assemble50'", "a run says its network itself"],
    ),
    (
        "export {tmp}/variables.npz --format safetensors",
        ["variables.npz", "--network", "assemble50"],
    ),
    (
        "export {tmp}/variables.npz --format torch --network resnet51",
        ["no official network 'resnet51'", "assemble152"],
    ),
    (
        "export {tmp}/variables.npz --format torch --network assemble50",
        ["variables.npz", "not of the official assemble50", "missing", "and 493 more", "unknown a"],
    ),
    (
        "export {tmp}/cut.npz --format torch --network assemble50",
        ["cut.npz", "cannot be read as an .npz"],
    ),
    (
        "export {tmp}/absent.npz --format torch --network assemble50",
        ["absent.npz", "give the variables"],
    ),
    (
        "export {tmp}/model.ckpt-7 --format torch --network assemble50",
        ["model.ckpt-7", "TensorFlow"],
    ),
]

# Every command that takes weights says that a study has deleted them, by their folder or file.
DELETED = [
    (
        line.format("{tmp}/deleted" + file),
        [
            "the weights of {tmp}/deleted were deleted",
            "--keep-weights full",
            "trickbag train {tmp}/deleted --seed 3 --out DIR",
        ],
    )
    for file in ("", "/best.safetensors", ":last")
    for line in (
        "evaluate {}",
        "predict {} {{photos}}",
        "export {} --format torch --out new",
        "train --init {}",
        "train --with distillation:teacher={}",
        "study --dry-run --init {}",
    )
]


@wrong_lines(OUT, EVALUATE, PREDICT, REPORT, EXPORT, DELETED)
def test_wrong_input_is_one_line_and_exit_2(line: str, says: list[str], check: Check) -> None:
    check(line, says)
