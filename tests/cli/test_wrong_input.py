"""Every command with wrong input: the exit code, and one line that names the thing, the value and
the way out."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from trickbag.data.config import DataConfig
from trickbag.data.packing.pack import write_pack
from trickbag.models.deleted_weights import DeletedWeights

if TYPE_CHECKING:
    from pathlib import Path

Call = Any

# In arguments and in what must be said, {tmp} is a folder of the test's own that `make_files`
# fills, {run} a run on a folder, {kaggle} one on a CSV, {photos} and {table} what these were
# trained on.
TRAIN = [
    # What is asked for does not exist.
    ("train smalll", ["no recipe 'smalll'", "bag_of_tricks", "FILE.py:FUNCTION"]),
    ("train {tmp}/absent.yaml", ["cannot read the recipe", "absent.yaml", "No such file"]),
    ("train {tmp}/empty", ["{tmp}/empty", "no run's folder", "recipe.json"]),
    ("train {tmp}/absent.py:mine", ["no file", "absent.py", "'mine'"]),
    ("train {tmp}/recipes.py:mine", ["no function 'mine'", "it has: broken, text"]),
    ("train {tmp}/recipes.py:broken", ["recipes.py:broken failed", "ZeroDivisionError"]),
    ("train {tmp}/recipes.py:text", ["returned str, not a Recipe"]),
    ("train {tmp}/syntax.py:mine", ["syntax.py:mine failed", "SyntaxError"]),
    ("train --model resnet51", ["no model 'resnet51'", "resnet50_d", "timm:NAME"]),
    ("train --model timm:", ["no model 'timm:'"]),
    ("train --model timm:resnet50", ["resnet_d", "timm:resnet50", "--without resnet_d"]),
    (
        "train --model timm:resnet5O --without resnet_d",
        ["timm has no network 'resnet5O'", "near it are"],
    ),
    (
        "train baseline --model efficientnet_b8",
        ["no model 'efficientnet_b8'", "efficientnet_b7", "timm:NAME"],
    ),
    (
        "train baseline --model inception_v3 --image-size 32",
        [
            "timm:inception_v3 cannot be trained on 256 images of 3x32x32",
            "--image-size (timm:inception_v3 is made for 299)",
        ],
    ),
    (
        "train baseline --model timm:efficientformer_l1 --image-size 32",
        ["timm:efficientformer_l1 cannot be trained", "3x32x32", "is made for 224"],
    ),
    (
        "train baseline --model timm:eva02_tiny_patch14_224 --image-size 32",
        ["timm:eva02_tiny_patch14_224 divides", "14x14", "--image-size 28 or 42"],
    ),
    (
        "train baseline --model timm:convnext_atto --with squeeze_excite",
        [
            "squeeze_excite has no place in timm:convnext_atto",
            "end in Conv2d",
            "--without squeeze_excite",
        ],
    ),
    (
        "train baseline --model timm:vgg11 --with anti_alias",
        ["anti_alias has no place in timm:vgg11", "but in stem", "--without anti_alias"],
    ),
    (
        "train baseline --model timm:vgg11 --with zero_init_residual --image-size 32",
        [
            "zero_init_residual has no place in this VGG: it has no residual branches",
            "--without zero_init_residual",
        ],
    ),
    (
        "train baseline --model timm:vit_tiny_patch16_224 --set model.norm=batch_norm --image-size "
        "224",
        ["model.norm = batch_norm", "no batch normalisation", "--set model.norm=none"],
    ),
    (
        "train baseline --model timm:vgg11 --set model.attention=squeeze_excite --image-size 32",
        [
            "model.attention = squeeze_excite: timm:vgg11 has no place for it",
            "--set model.attention=none",
        ],
    ),
    (
        "train baseline --model timm:resnet18 --set model.anti_alias=blur:size=9",
        ["size", "9", "from 2 to 7"],
    ),
    (
        "train baseline --model timm:resnet18 --set model.activation=swish",
        ["model.activation = 'swish'", "silu"],
    ),
    ("train baseline --model timm:resnet18 --set model.dropout=1", ["model.dropout", "1"]),
    ("train --with mixpu", ["no trick 'mixpu'", "did you mean mixup"]),
    ("train --with nowhere.tricks:Mine", ["cannot import 'nowhere.tricks'"]),
    ("train --with trickbag.errors:UserError", ["is no trick", "subclass"]),
    ("train --without pca_noise", ["no trick 'pca_noise'", "it has:", "mixup"]),
    ("train --with step_decay", ["step_decay and cosine_decay exclude each other", "--without"]),
    ("train --with mixup:alpah=1", ["mixup has no setting 'alpah'", "alpha"]),
    ("train --with mixup:alpha", ["'alpha' is not of the form key=value"]),
    ("train --with mixup:alpha=x", ["mixup.alpha = 'x'", "number"]),
    ("train --with mixup:alpha=-1", ["mixup.alpha = -1.0", "above 0"]),
    (
        "train --with label_smoothing:definition=gluon",
        ["definition = 'gluon'", "one of uniform, others"],
    ),
    ("train --with distillation", ["distillation has no teacher", "teacher=RUN"]),
    (
        "train patient_teacher --model resnet18 --image-size 16",
        ["distillation has no teacher", "--set tricks.distillation.teacher=RUN"],
    ),
    (
        "train --with distillation:teacher={tmp}/absent",
        ["no file or folder", "absent", "the folder of a run"],
    ),
    (
        "train --with distillation:teacher={tmp}/empty",
        ["{tmp}/empty is no run", "best.safetensors"],
    ),
    (
        "train --with distillation:teacher=timm:resnet5O",
        ["timm:resnet5O", "no such network", "list_pretrained"],
    ),
    (
        "train --with distillation:teacher={run}",
        ["does not know the classes 0, 1, 2 and 7 more", "it knows one, three, zero"],
    ),
    (
        "train --with distillation:teacher={run},view=left",
        ["view = 'left'", "online, centre, replay"],
    ),
    ("train --with distillation:teacher={run},weight=2", ["weight = 2", "from 0 (excluded) to 1"]),
    ("train --with distillation:teacher={run},weight=0", ["weight = 0", "from 0 (excluded) to 1"]),
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
        "train --with repeated_augmentation:times=1",
        ["repeated_augmentation.times = 1", "from 2 to 100"],
    ),
    ("train --with rand_augment:version=kornia", ["version = 'kornia'", "torchvision, timm"]),
    (
        "train --data wds:{tmp} --set data.streaming=true --set data.duplicates=drop",
        ["data.duplicates = drop", "data.streaming", "leave one of them out"],
    ),
    ("train --data=", ["''", "a source is digits"]),
    ("train --init {tmp}/absent.safetensors", ["absent.safetensors", "no file or folder"]),
    ("train --init {tmp}/notes.txt", ["notes.txt", "cannot be read as safetensors"]),
    ("train --init {tmp}/empty", ["{tmp}/empty is no run", "best.safetensors"]),
    ("train --init {tmp}/absent.npz", ["absent.npz", "cannot read the weights"]),
    (
        "train --init {tmp}/cut.npz --model resnet50 --set model.small_stem=never",
        ["cut.npz", "cannot be read as an .npz"],
    ),
    (
        "train --init {tmp}/variables.npz",
        ["variables.npz", "ResNet-18", "is none of them", "assemble50"],
    ),
    (
        "train --init {tmp}/variables.npz --model resnet50",
        ["stem deep_s1", "--set model.small_stem=never"],
    ),
    (
        "train --init {tmp}/model.ckpt-7 --model resnet50 --set model.small_stem=never",
        ["model.ckpt-7", "TensorFlow"],
    ),
    ("train --init a.safetensors --pretrained", ["--pretrained", "not allowed with", "--init"]),
    ("train --no-such-option", ["--no-such-option", "--help"]),
    ("train small baseline", ["unrecognized arguments: baseline", "--help"]),
    # Values of the wrong type or out of range.
    *[
        (f"train --epochs {value}", ["training.epochs", value, "whole number at least 1"])
        for value in ("0", "-1", "x", "1.5")
    ],
    *[
        (f"train --image-size {value}", ["data.image_size", value, "at least 8"])
        for value in ("7", "4", "0", "-16")
    ],
    ("train --image-size big", ["data.image_size = 'big'", "whole number"]),
    *[
        (f"train --image-size {value}", ["data.image_size", value, "or 2 of them, such as 128x128"])
        for value in ("64x", "64x64x64", "4x64", "64x4", "64xbig", "64:128", "64x20000")
    ],
    ("train --set data.resize=pad", ["data.resize = 'pad'", "crop, squash, letterbox or none"]),
    ("train --set data.default_size=8x16", ["data.default_size = '8x16'", "whole number"]),
    *[
        (f"train --batch-size {value}", ["training.batch_size", value, "whole number"])
        for value in ("0", "-4", "2.5", "x")
    ],
    ("train --set training.lr=nan", ["training.lr", "nan", "number above 0"]),
    ("train --set training.lr=inf", ["training.lr", "inf", "number above 0"]),
    ("train --set training.lr=0", ["training.lr", "above 0"]),
    ("train --set training.weight_decay=-1", ["training.weight_decay", "at least 0"]),
    (
        "train --set training.precision=int8",
        ["training.precision = 'int8'", "float32, auto, auto_on_gpu, bf16, fp16"],
    ),
    ("train --set training.optimizer=adam", ["training.optimizer = 'adam'", "adamw"]),
    ("train --set training.optimizer=sgd:momentum=2", ["momentum = 2.0"]),
    ("train --set training.accumulate=64", ["training.accumulate = 64", "batch of 32"]),
    (
        "train --set data.crop_area=1,0.5",
        ["data.crop_area", "first value must not be above the second"],
    ),
    ("train --set data.val_fraction=1", ["data.val_fraction", "1 (excluded)"]),
    ("train --set data.eval_ratio=0", ["data.eval_ratio = 0", "above 0"]),
    ("train --set data.flip_prob=2", ["data.flip_prob", "from 0 to 1"]),
    ("train --set data.channels=1.5", ["data.channels = '1.5'"]),
    ("train --set data.channels=some", ["data.channels = 'some'", "all"]),
    ("train --set data.channels=0,0", ["data.channels = 0,0", "each once"]),
    ("train --set data.channels=9999", ["data.channels", "9999"]),
    ("train --set data.pixel_range=9,1", ["data.pixel_range = 9,1", "below the second"]),
    ("train --set data.pixel_range=9", ["data.pixel_range", "2 values"]),
    ("train --set data.pixel_range=a,b", ["data.pixel_range"]),
    ("train --set data.mean=1,2", ["data.mean has 2 values", "3 channels"]),
    ("train --set data.workers=-1", ["data.workers", "at least 0"]),
    ("train --set model.depth=20", ["model.depth", "one of 18, 34, 50"]),
    ("train --set model.in_channels=1", ["in_channels = 1", "3 channels", "data.channels"]),
    (
        "train --image-size 8 --batch-size 1",
        ["one image at a time", "would see one value a channel", "--batch-size"],
    ),
    ("train --set schedule.decay=linear", ["schedule.decay = 'linear'", "cosine"]),
    ("train --set tricks.mixup.alpha=0", ["tricks.mixup.alpha", "above 0"]),
    ("train --set tricks.pca_noise.std=1", ["no trick 'pca_noise'"]),
    ("train --set tricks.mixup", ["must be of the form PATH=VALUE"]),
    ("train --set tricks.mixup=1", ["tricks.mixup"]),
    ("train --set training=1", ["no setting 'training'", "training.lr"]),
    ("train --set training.epoch=1", ["training has no setting 'epoch'", "epochs"]),
    ("train --set training.lr.x=1", ["training.lr", "no settings of its own"]),
    ("train --set optimizer.lr=1", ["no setting 'optimizer.lr'", "training.lr"]),
    ("train --set =1", ["no setting ''"]),
    ("train --seed x", ["--seed = 'x'", "whole number"]),
    ("train --seed 1.5", ["--seed = '1.5'", "whole number"]),
    ("train --device tpu", ["training.device = 'tpu'", "auto, cpu, cuda"]),
    # Where to write.
    ("train --out {run}", ["{run}", "already holds a run", "--resume"]),
    ("train --out {tmp}/notes.txt", ["notes.txt"]),
    ("train --out {tmp}/notes.txt/run", ["notes.txt/run"]),
    ("train --resume", ["--resume", "--out DIR"]),
    ("train --resume --out {run} --epochs 7", ["holds another trial", "epochs (7, not 2)"]),
    ("train --resume --out {run} --seed 5", ["holds another trial", "seed (5, not 0)"]),
    ("train --resume --out {tmp}/broken_recipe", ["broken_recipe/recipe.json"]),
]

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
    ("blend", ["DIR", "--help"]),
    ("blend {run}", ["needs the file to write", "--out FILE"]),
    ("blend {run} --out {tmp}/blend.json", ["nothing to blend", "two or more"]),
    ("blend {run} {tmp}/empty --out {tmp}/blend.json", ["is no cross-validation", "--folds K"]),
    ("blend {run} {tmp}/empty --out {tmp}/blend", ["must end in .json"]),
    ("soup", ["RUN", "--help"]),
    ("soup {run}", ["needs the file to write", "--out FILE"]),
    ("soup {run} --out {tmp}/soup.safetensors", ["nothing to average", "two or more"]),
    ("soup {run} {run} --out {tmp}/soup.txt", ["must end in .safetensors"]),
    ("soup {run} {tmp}/empty --out {tmp}/soup.safetensors", ["{tmp}/empty"]),
    ("soup {run} {run} --out {run}/best.safetensors", ["is a file of the run itself"]),
    ("train --folds 100 --data {photos}", ["data.folds = 100", "take fewer folds"]),
]
RUNS = [
    "{tmp}/absent",
    "{tmp}/empty",
    "{tmp}/notes.txt",
    "{tmp}/empty.safetensors",
    "{tmp}/cut.safetensors",
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

STUDY = [
    ("study smalll", ["no recipe 'smalll'", "bag_of_tricks"]),
    ("study --data {tmp}/absent", ["{tmp}/absent", "does not exist"]),
    ("study --data {tmp}/one_class", ["one class only"]),
    (
        "study --design ablation",
        ["--design 'ablation'", "cumulative, factorial, leave-one-out, one-at-a-time"],
    ),
    ("study --tricks mixpu", ["no trick 'mixpu'", "mixup"]),
    ("study --tricks pca_noise", ["no trick 'pca_noise'", "it has:", "mixup"]),
    ("study --design cumulative --tricks mixpu", ["no trick 'mixpu'", "did you mean mixup"]),
    ("study --tricks mixup,mixup", ["mixup", "2 times"]),
    ("study --tricks mixup,", ["--tricks 'mixup,'", "names with commas between them"]),
    ("study --tricks=", ["--tricks ''", "names with commas between them"]),
    (
        "study baseline --without color_jitter --without pca_noise",
        ["no tricks to study", "--with TRICK"],
    ),
    ("study --models resnet51", ["no model 'resnet51'", "timm:NAME"]),
    ("study --models timm:resnet5O", ["timm has no network 'resnet5O'"]),
    ("study --models resnet18,resnet18", ["resnet18", "twice"]),
    ("study --levels mixup.alpha", ["mixup.alpha", "="]),
    ("study --levels mixup.alpah=1", ["no setting 'alpah'", "alpha"]),
    ("study --levels mixup.alpha=0.1,x", ["mixup.alpha = 'x'", "number"]),
    ("study --levels mixup.alpha=-1", ["mixup.alpha = -1.0", "above 0"]),
    ("study --levels cutmax.alpha=1", ["cutmax", "not studied"]),
    ("study --design factorial --levels mixup.alpha=1", ["--levels", "factorial"]),
    ("study --levels training.lr", ["'training.lr'", "PATH=VALUE,VALUE"]),
    ("study --levels training.ler=1", ["no setting 'ler'", "it has:", "lr"]),
    ("study --levels training.lr=0.1,x", ["training.lr = 'x'", "above 0"]),
    ("study --levels model=resnet51", ["no model 'resnet51'", "timm:NAME"]),
    ("study --levels model=resnet34 --models resnet18", ["model=resnet34", "models = resnet18"]),
    ("study --levels data.split_seed=1,2", ["data.split_seed", "same images", "image_size"]),
    ("study --levels data.val_fraction=0.1", ["data.val_fraction", "same images"]),
    ("study --levels training.threads=1,2", ["training.threads", "--set training.threads"]),
    ("study --levels training.init={run}", ["training.init", "--backbone LABEL=RUN"]),
    ("study --levels seed=1,2", ["differ in seed", "--seeds N"]),
    ("study --design factorial --levels training.lr=1", ["--levels", "factorial"]),
    ("study --design factorial --tricks mixup", ["2 to 12 tricks", "--tricks"]),
    ("study --design factorial --resolution 6", ["--resolution = '6'", "3, 4, 5"]),
    ("study --resolution 4", ["--resolution", "factorial", "leave-one-out"]),
    *[(f"study --seeds {value}", ["--seeds", value, "at least 1"]) for value in ("0", "-1")],
    *[(f"study --seeds {value}", ["--seeds", value, "whole number"]) for value in ("x", "1.5")],
    *[
        (f"study --margin {value}", ["--margin", value])
        for value in ("0", "-1", "x", "nan", "1e+99")
    ],
    *[(f"study --max-seeds {value}", ["--max-seeds", value]) for value in ("0", "1", "x", "2.5")],
    ("study --seeds 6 --max-seeds 5", ["seeds = 6", "max_seeds = 5"]),
    ("study --until-settled --add-seeds 2 --max-seeds 9", ["--until-settled", "--add-seeds"]),
    ("study --until-settled --max-seeds 9 --seeds 1", ["seeds = 1", "at least 2"]),
    ("study --until-settled", ["until_settled needs max_seeds"]),
    ("study --until-settled --max-seeds 9 --shard 1/2", ["until_settled", "shard"]),
    *[(f"study --folds {value}", ["--folds", value]) for value in ("0", "1", "x", "101")],
    *[(f"study --folds 3 --splits {value}", ["--splits", value]) for value in ("0", "x", "101")],
    ("study --splits 2", ["splits = 2", "--folds K"]),
    ("study --folds 3 --max-seeds 9", ["max_seeds", "folds", "no new splits"]),
    ("study --folds 3 --until-settled --max-seeds 9", ["folds exclude each other"]),
    ("study --folds 3 --tune training.lr=1x,2x", ["tuning and folds", "--set"]),
    ("study --folds 3 --outcome test_top1", ["test_top1", "choose top1"]),
    ("study --folds 3 --set data.folds=3 --set data.fold=1", ["names fold 1 of 3"]),
    ("study --folds 3 --set data.folds=4", ["names fold 0 of 4"]),
    ("study --folds 3 --set data.inner_folds=4", ["data.inner_folds = 4"]),
    ("study --add-seeds 0", ["--add-seeds", "at least 1"]),
    ("study --retries -1", ["--retries", "at least 0"]),
    ("study --workers 0", ["--workers", "at least 1"]),
    ("study --trials-per-gpu 0", ["--trials-per-gpu", "at least 1"]),
    ("study --trials-per-gpu 2 --workers 2", ["workers = 2", "trials_per_gpu = 2", "one of them"]),
    (
        "study --trials-per-gpu 3 --executor ray",
        ["--trials-per-gpu 3", "--executor local", "--gpus 0.5"],
    ),
    ("study --outcome top2", ["top2", "top1", "loss"]),
    ("study --executor slurm", ["--executor 'slurm'", "local, ray"]),
    *[
        (f"study --{option}", [option.split()[0], "--executor ray"])
        for option in ("address auto", "cpus 2", "gpus 1")
    ],
    ("study --executor ray --cpus 0", ["--cpus", "above 0"]),
    *[
        (f"study --budget {value}", ["--budget", value, "2h"])
        for value in ("soon", "2", "0h", "2h3")
    ],
    *[(f"study --shard {value}", ["--shard", value]) for value in ("2", "0/2", "3/2", "1/x")],
    ("study --keep-weights some", ["--keep-weights = 'some'", "none, full, all"]),
    (
        "study --design cumulative --keep-weights full",
        ["keep_weights = full", "cumulative", "none or all"],
    ),
    ("study --dry-run --sd -1", ["--sd", "at least 0"]),
    ("study --outcome mean_corruption", ["'mean_corruption'", "mean_corruption_error", "mce"]),
    ("study --outcome top1,", ["--outcome", "names with commas"]),
    ("study --outcome top1,top1", ["'top1' is named twice"]),
    ("study --outcome mce", ["'mce' is not defined for 10 classes"]),
    ("study --outcome-images 5", ["outcome_images", "mean_corruption_error", "not top1"]),
    ("study --outcome shift_consistency --outcome-images 0", ["--outcome-images", "at least 1"]),
    ("study --outcome max_box_acc", ["'max_box_acc'", "--localization DIR"]),
    (
        "study --outcome max_box_acc --localization {tmp}/absent",
        ["{tmp}/absent", "no such folder"],
    ),
    ("study --localization {tmp}", ["localization", "max_box_acc"]),
    ("study --out {tmp}/notes.txt", ["notes.txt"]),
    ("study --out {run}", ["{run}", "holds no study", "--out"]),
    ("study --out {tmp}/broken_study", ["broken_study/study.json"]),
    ("study small baseline", ["--out DIR"]),
    ("study {run} {kaggle} --out new", ["{run} is no study", "study.json"]),
    ("study --model timm:resnet5O", ["timm has no network 'resnet5O'"]),
    ("study --seed 3", ["--seed"]),
    ("study --backbone scratch", ["two arms, and has scratch", "--backbone LABEL=RUN"]),
    ("study --backbone a={run} --backbone a={kaggle}", ["two backbones are called a"]),
    ("study --backbone a={run} --backbone {tmp}/absent", ["no backbone", "absent", "run, file"]),
    ("study --backbone a={run} --backbone b={tmp}/empty", ["{tmp}/empty is no run"]),
    ("study --backbone a={run} --backbone b={run},", ["a comma has no backbone"]),
    (
        "study --seeds 3 --backbone a={run},{run} --backbone scratch",
        ["seeds = 3: a has 2 runs", "take 2 seeds"],
    ),
    *[
        (
            f"study --backbone a={{run}} --backbone scratch --{option}",
            [f"--{option.split()[0]} and --backbone exclude each other"],
        )
        for option in (
            "tricks mixup",
            "design cumulative",
            "model resnet18",
            "models resnet18",
            "init x.safetensors",
            "pretrained",
        )
    ],
    ("study --tune training.lr", ["tune 'training.lr'", "PATH=VALUE,VALUE"]),
    ("study --tune training.lr=1x,,3x", ["tune 'training.lr=1x,,3x'", "PATH=VALUE,VALUE"]),
    ("study --tune training.lr=x", ["training.lr = 'x'", "above 0"]),
    ("study --tune training.lrr=1x", ["no setting 'lrr'", "lr"]),
    ("study --tune training.clip_norm=2x", ["training.clip_norm", "none", "values in the place"]),
    ("study --tune training.lr=1x --tune training.lr=2x", ["training.lr twice", "at once"]),
    ("study --tune training.lr=1x --levels training.lr=1", ["training.lr is tuned", "level too"]),
    ("study --tune data.split_seed=1,2", ["data.split_seed", "same images"]),
    ("study --tune seed=1,2", ["differ in seed", "--seeds N"]),
    ("study --tune mixpu.alpha=1", ["no trick 'mixpu'", "mixup"]),
    ("study --tune mixup.alpah=1", ["no setting 'alpah'", "alpha"]),
    ("study --tune cutmix.alpha=1,2", ["cutmix.alpha", "no arm has the trick"]),
    ("study --tune training.lr=1x --shard 1/2", ["tuning", "shard"]),
    ("study --tune training.lr=1x --set data.inner_folds=5", ["data.inner_folds = 5", "leave"]),
    ("study --tune-seeds 2", ["--tune-seeds is for --tune", "--tune training.lr"]),
    *[
        (f"study --tune training.lr=1x --tune-seeds {value}", ["--tune-seeds", value])
        for value in ("0", "-1", "x", "1.5", "99999")
    ],
    (
        "study --tune training.lr=1x,2x --backbone a={run},{run} --backbone scratch",
        ["a starts each seed", "--tune"],
    ),
    ("study --against absent.yaml", ["--against 'absent.yaml'", "No such file"]),
    ("study --against rsb_a9", ["--against 'rsb_a9'", "no recipe 'rsb_a9'", "baseline"]),
    ("study --against =baseline", ["--against '=baseline'", "LABEL=RECIPE"]),
    ("study --against small", ["two recipes are called small", "LABEL=RECIPE"]),
    ("study --against a=small --against a=baseline", ["two recipes are called a", "LABEL=RECIPE"]),
    ("study --against detection", ["detection", "small", "same data and task"]),
    ("study --against a={run} --backbone scratch", ["--backbone and --against exclude"]),
    *[
        (f"study --against baseline --{option}", [f"--{option.split()[0]} and --against exclude"])
        for option in (
            "tricks mixup",
            "design cumulative",
            "levels training.lr=1",
            "models resnet18",
            "resolution 4",
        )
    ],
    (
        "study --backbone a={run} --backbone scratch --set model.width_factor=0.5",
        ["--set model.width_factor and --backbone exclude each other"],
    ),
]

REST = [
    ("report", ["DIR", "--help"]),
    ("report {tmp}/absent", ["{tmp}/absent", "run"]),
    ("probe", ["--model", "--help"]),
    ("probe --model resnet51", ["no model 'resnet51'", "resnet50_d", "timm:NAME"]),
    ("probe --model {tmp}/empty", ["{tmp}/empty is no run", "best.safetensors"]),
    ("probe --model {tmp}/cut.safetensors", ["cut.safetensors cannot be read as safetensors"]),
    ("probe --model {run} --init {tmp}/alone.safetensors", ["--model {run}", "leave --init"]),
    ("probe --model resnet18 --init {tmp}/absent", ["no file or folder {tmp}/absent"]),
    ("probe --model resnet18 --init {tmp}/alone.safetensors", ["does not fit this network"]),
    ("probe --model resnet18 --init a --pretrained", ["not allowed with argument --init"]),
    ("probe --model resnet18 --data {tmp}/absent", ["{tmp}/absent", "does not exist"]),
    ("probe --model resnet18 --data {tmp}/one_class", ["one_class", "one class"]),
    ("probe --model resnet18 --image-size x", ["data.image_size = 'x'"]),
    ("probe --model resnet18 --set training.epochs=3", ["training.epochs = 3", "training.probe"]),
    ("probe --model resnet18 --set training.probe.l2=0", ["training.probe.l2 = 0", "1e-12"]),
    ("probe --model resnet18 --set training.probe=none", ["training.probe = none", "train"]),
    ("probe --model resnet18 --set training.probe.k=3", ["k", "l2", "neighbours"]),
    ("probe --model resnet18 --out {run}", ["{run} already holds a run", "--resume"]),
    ("probe --model resnet18 --resume", ["--resume needs the folder", "--out DIR"]),
    ("probe --model resnet18 --seed x", ["--seed = 'x'", "a whole number"]),
    ("probe --model resnet18 --device tpu", ["training.device = 'tpu'"]),
    ("report {tmp}/empty", ["{tmp}/empty is no run", "recipe.json"]),
    ("report {tmp}/notes.txt", ["notes.txt"]),
    ("report {run} {kaggle} {run}", ["not 3"]),
    ("report {run} {run}", ["same run"]),
    ("report {run} --format pdf", ["--format 'pdf'", "md, latex, csv, json"]),
    ("report {run} --out {tmp}/absent/page.html", ["absent"]),
    ("report {run} --out {tmp}", ["{tmp}"]),
    ("report {tmp}/broken_recipe", ["broken_recipe/recipe.json"]),
    ("show smalll", ["no recipe 'smalll'", "small"]),
    ("show --data {tmp}/absent", ["{tmp}/absent", "does not exist"]),
    ("show --epochs 0", ["training.epochs = 0", "at least 1"]),
    ("show --picture {tmp}/drawing.jpg", ["drawing.jpg", ".png"]),
    ("show --picture {tmp}/absent/drawing.png", ["no folder {tmp}/absent"]),
    ("show --picture {tmp}/folder.png", ["folder.png", "is a folder"]),
    ("show --model timm:resnet50", ["resnet_d", "timm:resnet50"]),
    ("list", ["tricks|recipes|models|datasets", "--help"]),
    ("list trick", ["'trick'", "tricks, recipes, models, datasets"]),
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
    ("train --set data.hold_images=x", ["data.hold_images = 'x'", "true or false"]),
    ("train --set data.worker_kind=x", ["data.worker_kind = 'x'", "threads, processes"]),
    ("doctor digits --set data.parts=fold1", ["data.parts", "'fold1'", "PART:FOLDER"]),
    ("doctor digits --set training.lr=1", ["training.lr=1", "data alone", "data.multi_label=true"]),
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
    ("trian", ["'trian'", "choose from", "evaluate"]),
    ("--verbose", ["--verbose", "--help"]),
]


def make_files(tmp: Path, run: Path) -> None:
    """Fill a folder with everything that can be wrong about files."""
    (tmp / "notes.txt").write_text("not an image, not a model\n")
    (tmp / "empty").mkdir()
    (tmp / "folder.png").mkdir()
    (tmp / "link.csv").symlink_to(tmp / "nowhere.csv")
    for name in ("one_class/cat", "empty_class/cat", "empty_class/dog"):
        (tmp / name).mkdir(parents=True)
    for name in ("one_class/cat/1.png", "empty_class/cat/1.png"):
        (tmp / name).write_bytes(b"x")
    (tmp / "bad.csv").write_text("sort,kind\nx,cat\n")
    (tmp / "lost.csv").write_text("image,label\n1.png,cat\n2.png,dog\n")
    (tmp / "there.arrow").write_bytes(b"")
    (tmp / "text.arrow").write_text("no pack\n" * 9)
    table = pa.table({"image": [b"x"], "label": [0]})
    with pa.ipc.new_file(str(tmp / "foreign.arrow"), table.schema) as writer:
        writer.write_table(table)
    write_pack(DataConfig(source="digits"), tmp / "good.arrow")
    pack = (tmp / "good.arrow").read_bytes()
    (tmp / "cut.arrow").write_bytes(pack[: len(pack) // 2])
    (tmp / "recipes.py").write_text(
        "def broken():\n    return 1 / 0\n\n\ndef text():\n    return 'small'\n"
    )
    (tmp / "syntax.py").write_text("def mine(:\n")
    weights = (run / "best.safetensors").read_bytes()
    (tmp / "alone.safetensors").write_bytes(weights)
    (tmp / "cut.safetensors").write_bytes(weights[: len(weights) // 2])
    (tmp / "empty.safetensors").write_bytes(b"")
    np.savez(tmp / "variables.npz", a=np.zeros(3, np.float32))
    (tmp / "cut.npz").write_bytes((tmp / "variables.npz").read_bytes()[:100])
    (tmp / "model.ckpt-7.index").write_bytes(b"no checkpoint")
    shutil.copytree(run, tmp / "broken_recipe")
    (tmp / "broken_recipe" / "recipe.json").write_text('{"schema": 1,')
    shutil.copytree(run, tmp / "deleted")
    (tmp / "deleted" / "best.safetensors").unlink()
    DeletedWeights(keep_weights="full", seed=3).write(tmp / "deleted")
    (tmp / "broken_study").mkdir()
    (tmp / "broken_study" / "study.json").write_text('{"schema": 1,')


@pytest.fixture(scope="module")
def places(
    tmp_path_factory: pytest.TempPathFactory, run: Path, kaggle: Path, photos: Path, table: Path
) -> dict[str, Path]:
    tmp = tmp_path_factory.mktemp("wrong")
    make_files(tmp, run)
    return {"tmp": tmp, "run": run, "kaggle": kaggle, "photos": photos, "table": table}


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

# Numbers that would take memory or time without end.
HUGE = [
    *[
        (f"train {option}", [*names, "at most"])
        for option, *names in (
            (f"--seed {10**20}", "--seed"),
            (f"--epochs {10**9}", "training.epochs", "100,000"),
            (f"--batch-size {10**12}", "training.batch_size"),
            (f"--image-size {10**6}", "data.image_size", "16,384"),
            (f"--set data.workers={10**6}", "data.workers"),
            ("--set training.threads=100000", "training.threads", "1,024"),
            ("--set model.depth_factor=1e6", "model.depth_factor", "16"),
            (f"--with warmup:epochs={10**9}", "warmup.epochs"),
        )
    ],
    *[
        (f"study {option}", [option.split()[0], "at most"])
        for option in (
            f"--seeds {10**9}",
            f"--add-seeds {10**9}",
            f"--retries {10**9}",
            f"--workers {10**9}",
            f"--budget {'9' * 400}h",
        )
    ],
    ("study --dry-run --sd 1e308", ["--sd", "at most"]),
    ("study --seeds 1e308", ["--seeds", "whole number"]),
    (f"study --shard 1/{'9' * 5000}", ["--shard", "I/N"]),
    (f"evaluate {{run}} --workers {10**9}", ["--workers", "at most"]),
    (f"evaluate {{run}} --batch-size {10**9}", ["--batch-size", "at most"]),
    (f"predict {{run}} {{photos}} --batch-size {10**9}", ["--batch-size", "at most"]),
    (f"predict {{run}} {{photos}} --top {10**9}", ["--top", "at most"]),
]

WRONG = [*TRAIN, *FOLDS, *EVALUATE, *PREDICT, *STUDY, *REST, *EXPORT, *DELETED, *HUGE]


@pytest.mark.parametrize(("line", "says"), WRONG, ids=lambda value: str(value)[:60])
def test_wrong_input_is_one_line_and_exit_2(
    line: str,
    says: list[str],
    places: dict[str, Path],
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*[word.format(**places) for word in line.split(" ")])
    assert code == 2, err
    assert err.count("\n") == 1, err
    assert err.endswith("\n")
    assert err.startswith("trickbag")
    assert "Traceback" not in err
    assert "note:" not in err
    for text in says:
        assert text.format(**places) in err, err
    # Training notes what it found before it sees that it cannot go on.
    assert out == "" or line.startswith(("train", "study"))
    assert not list(tmp_path.glob("runs/*/*.json*"))


@pytest.mark.parametrize(("device", "says"), [("cuda", "no CUDA device"), ("mps", "(MPS)")])
@pytest.mark.parametrize(
    "line", ["train", "show", "evaluate {run}", "predict {run} {photos}", "study --dry-run"]
)
def test_a_device_that_is_not_here(
    line: str,
    device: str,
    says: str,
    places: dict[str, Path],
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, err = call(
        *line.format(**places).split(), "--device", device, *["--out", "x"] * (line == "train")
    )
    assert code == 2
    assert says in err
    assert "--device cpu" in err
    assert err.count("\n") == 1


def test_a_name_with_a_line_break_stays_one_line(call: Call) -> None:
    code, _, err = call("doctor", "no\nsuch\nfolder")
    assert code == 2
    assert err.count("\n") == 1
