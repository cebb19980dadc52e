"""Networks that do not exist or do not fit, weights to start from, and probes of a network."""

from __future__ import annotations

from tests.cli.wrong_input.lines import Check, wrong_lines

NETWORKS = [
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
]

WEIGHTS = [
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
]

PROBE = [
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
]


@wrong_lines(NETWORKS, WEIGHTS, PROBE)
def test_wrong_input_is_one_line_and_exit_2(line: str, says: list[str], check: Check) -> None:
    check(line, says)
