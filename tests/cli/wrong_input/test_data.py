"""Sources, packs and settings of data that are wrong, and the commands `doctor` and `pack`."""

from __future__ import annotations

from tests.cli.wrong_input.lines import Check, wrong_lines

SOURCES = [
    ("train --data {tmp}/absent", ["{tmp}/absent", "does not exist", "a folder of images"]),
    ("train --data {tmp}/notes.txt", ["is a file, but no .csv file"]),
    ("train --data {tmp}/empty", ["{tmp}/empty", "no class folders"]),
    ("train --data {tmp}/one_class", ["one class only", "'cat'"]),
    ("train --data {tmp}/empty_class", ["no image in", "dog"]),
    ("train --data {tmp}/link.csv", ["link.csv", "does not exist"]),
    ("train --data {tmp}/bad.csv", ["bad.csv", "columns sort, kind", "data.image_column=NAME"]),
    ("train --data {tmp}/lost.csv --set data.label_column=kind", ["'kind'", "image, label"]),
    ("train --data {tmp}/lost.csv --set data.group_column=kind", ["'kind'", "image, label"]),
    ("train --data digits --set data.image_column=x", ["data.image_column", "leave it out"]),
    ("train --data digits --set data.label_separator=;", ["';'", "data.multi_label=true"]),
    ("train --data digits --val-data {tmp}/nowhere", ["data.val_source", "does not exist"]),
    (
        "train --data {photos} --image-root {tmp} --image-root {photos}",
        ["data.image_root has 2 folders"],
    ),
    ("train --data {tmp}/lost.csv", ["lost.csv", "none of its 2 images", "--image-root"]),
    ("train --data {table} --image-root {tmp}/absent", ["image_root", "absent", "is not a folder"]),
    ("train --data {photos} --image-root {photos}", ["image_root", "is a folder"]),
    ("train --data torchvision:Nist", ["torchvision:Nist", "MNIST"]),
    ("train --data tfds:mnist", ["no kind of source is named 'tfds'", "torchvision:NAME", "hf:"]),
    ("train --data wds:{tmp}/absent.tar", ["there is no shard {tmp}/absent.tar"]),
    ("train --data wds:{tmp}/empty", ["has no shard", "a shard is a .tar file"]),
    ("train --data wds:{tmp}/x-{{2..1}}.tar", ["{{2..1}} names no shard", "smaller number"]),
    ("train --data wds:nowhere://x.tar", ["nowhere:// cannot be opened", "trickbag[wds]"]),
    ("train --data wds:{tmp} --image-root {tmp}", ["image_root", "holds its images"]),
    (
        "train --data digits --set data.streaming=true",
        ["data.streaming = True", "'digits'", "wds:URL", "leave it out"],
    ),
    (
        "train --data wds:{tmp} --set data.streaming=true --set data.class_power=0",
        ["data.class_power = 0", "data.streaming", "leave one of them out"],
    ),
    (
        "train --data wds:{tmp} --set data.streaming=true --set data.augmentation_repeats=3",
        ["data.augmentation_repeats = 3", "data.streaming", "leave one of them out"],
    ),
    (
        "train --data wds:{tmp} --set data.streaming=true --set data.duplicates=drop",
        ["data.duplicates = drop", "data.streaming", "leave one of them out"],
    ),
    ("train --data=", ["''", "a source is digits"]),
]

DOCTOR = [
    ("doctor", ["SOURCE", "--help"]),
    ("doctor {tmp}/absent", ["{tmp}/absent", "does not exist"]),
    ("doctor {tmp}/empty", ["{tmp}/empty", "no class folders"]),
    ("doctor {tmp}/lost.csv", ["none of its 2 images", "--image-root"]),
    ("doctor digits --json=yes", ["--json"]),
    ("doctor digits --set data.multi_label", ["data.multi_label", "PATH=VALUE"]),
    ("doctor digits --set data.multi_label=true", ["digits", ".csv file", "leave it out"]),
    (
        "doctor digits --set data.label_column=x",
        ["data.label_column", "hf:NAME and wds:URL", "leave it out"],
    ),
    (
        "doctor wds:{tmp} --set data.label_column=[a,b]",
        ["data.label_column has 2 names", "takes one"],
    ),
    ("doctor digits --set data.parts=train:a", ["data.parts = train:a", "digits", "leave it out"]),
    (
        "doctor digits --set data.merge_labels=maybe",
        ["data.merge_labels = 'maybe'", "true or false"],
    ),
    ("doctor digits --set data.na_labels=drop", ["data.na_labels = 'drop'", "missing, class"]),
    ("doctor digits --set data.parts=fold1", ["data.parts", "'fold1'", "PART:FOLDER"]),
    ("doctor digits --set training.lr=1", ["training.lr=1", "data alone", "data.multi_label=true"]),
]

PACK = [
    ("pack", ["SOURCE", "--out", "--help"]),
    ("pack {photos}", ["--out", "--help"]),
    ("pack {tmp}/absent --out {tmp}/x.arrow", ["{tmp}/absent", "does not exist"]),
    ("pack {tmp}/empty --out {tmp}/x.arrow", ["{tmp}/empty", "no class folders"]),
    ("pack {photos} --out {tmp}/x.zip", ["x.zip", "ends in .arrow"]),
    ("pack {photos} --out {tmp}/there.arrow", ["there.arrow", "exists", "choose another name"]),
    ("pack {photos} --out {tmp}/absent/x.arrow", ["no folder {tmp}/absent"]),
    ("pack {photos} --out {tmp}/x.arrow --encoding png", ["'png'", "original, jpeg, raw"]),
    ("pack {photos} --out {tmp}/x.arrow --short-side 7", ["--short-side = 7", "8 to 16384"]),
    ("pack {photos} --out {tmp}/x.arrow --short-side big", ["--short-side = 'big'"]),
    (
        "pack {photos} --out {tmp}/x.arrow --short-side 64 --encoding original",
        ["--encoding original", "--short-side 64", "leave one of them out"],
    ),
    (
        "pack {photos} --out {tmp}/x.arrow --encoding jpeg --quality 0",
        ["--quality = 0", "from 1 to 100"],
    ),
    ("pack {photos} --out {tmp}/x.arrow --quality 80", ["--quality 80", "--encoding jpeg"]),
    ("pack {photos} --out {tmp}/x.arrow --workers 0", ["--workers = 0", "at least 1"]),
    ("pack {photos} --out {tmp}/x.arrow --image-root {tmp}", ["image_root", "is a folder"]),
    ("pack {photos} --out {tmp}/x.arrow --set training.lr=1", ["training.lr=1", "data alone"]),
    (
        "pack {photos} --out {tmp}/x.arrow --set data.crop_area=0.5,1",
        ["data.crop_area", "changes nothing in a pack", "trickbag train"],
    ),
    ("pack digits --out {tmp}/x.arrow --encoding original", ["pixels in memory", "--encoding raw"]),
]

# Packs to read, damaged ones and whole ones.
PACKS = [
    ("doctor {tmp}/there.arrow", ["there.arrow", "is an empty file"]),
    ("doctor {tmp}/text.arrow", ["text.arrow", "no Arrow file", "trickbag pack SOURCE"]),
    ("train --data {tmp}/foreign.arrow", ["foreign.arrow", "of another program"]),
    ("train --data {tmp}/cut.arrow", ["cut.arrow", "cut off before its end", "copy it again"]),
    ("train --data {tmp}/absent.arrow", ["absent.arrow", "does not exist", "an .arrow pack"]),
    ("train --data {tmp}/good.arrow --image-root {tmp}", ["image_root", "is a pack"]),
    (
        "train --data {tmp}/good.arrow --set data.multi_label=true",
        ["one label each", "leave data.multi_label out"],
    ),
    (
        "train --data {tmp}/good.arrow --set data.group_column=patient",
        ["data.group_column = patient", "written without it"],
    ),
    ("train --data {tmp}/good.arrow --set data.parts=train:a", ["data.parts", "leave it out"]),
    ("study --data {tmp}/cut.arrow --seeds 2", ["cut.arrow", "cut off before its end"]),
    ("probe --model resnet18 --data {tmp}/cut.arrow", ["cut.arrow", "cut off before its end"]),
    ("search scaling --trials 6 --data {tmp}/cut.arrow", ["cut.arrow", "cut off before its end"]),
    ("evaluate {run} --data {tmp}/cut.arrow", ["cut.arrow", "cut off before its end"]),
    ("predict {run} {tmp}/good.arrow", ["good.arrow is a pack", "evaluate RUN --data"]),
    ("transfer detection --data {tmp}/good.arrow", ["good.arrow", "is a pack", "no boxes"]),
    ("transfer segmentation --data {tmp}/good.arrow", ["good.arrow", "is a pack", "no masks"]),
    ("doctor {tmp}/good.arrow --task detection", ["good.arrow", "holds images with classes"]),
]


@wrong_lines(SOURCES, DOCTOR, PACK, PACKS)
def test_wrong_input_is_one_line_and_exit_2(line: str, says: list[str], check: Check) -> None:
    check(line, says)
