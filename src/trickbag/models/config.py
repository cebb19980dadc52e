"""Networks as plain data: their settings and slots, and the networks that have a name."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from trickbag.data.config import MAX_IMAGE_SIZE
from trickbag.errors import UserError
from trickbag.models.parts import (
    Activation,
    AntiAlias,
    AssembleKernel,
    AveragePool,
    BatchNorm,
    Blur,
    DropBlockPart,
    OriginalKernel,
    Relu,
    SelectiveKernel,
    SplitKernel,
    SqueezeExcitePart,
)
from trickbag.models.rounding import round_channels
from trickbag.ranges import Above, AtLeast, Between
from trickbag.settings import Settings, read

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DEEP_STEMS",
    "BigLittleConfig",
    "Init",
    "MobileNetConfig",
    "ModelConfig",
    "OwnConfig",
    "Pooling",
    "Precision",
    "ResNetConfig",
    "Stem",
    "TimmConfig",
    "model_config",
    "model_names",
    "read_model",
]

Stem = Literal["imagenet", "deep", "small_s1", "small_s2", "deep_s1", "deep_s2"]
Depth = Literal[18, 34, 50, 101, 152]
Init = Literal["xavier", "msra", "msra_prelu", "lecun"]
Pooling = Literal["torch", "tensorflow"]
Precision = Literal["float32", "bf16", "fp16"]
"""The type of numbers in which a network computes."""
DropProb = Annotated[float, Between(0, 1, open_high=True)]
Factor = Above(0, 16)

MAX_CLASSES = 1_000_000

DEEP_STEMS: Mapping[Stem, Stem] = MappingProxyType(
    {"imagenet": "deep", "small_s1": "deep_s1", "small_s2": "deep_s2"}
)
"""The deep form (three 3x3 convolutions, ResNet-C) of each plain stem, at the same stride."""

_STAGE_WIDTHS = (64, 128, 256, 512)


@dataclass(frozen=True, kw_only=True)
class ResNetConfig(Settings):
    """A ResNet of this package, slot by slot (He et al. 2018, arXiv 1812.01187, section 4).

    - `stem`: `imagenet` is a 7x7 convolution of stride 2, `deep` three 3x3 (32, 32, 64 channels,
      the first of stride 2); a 3x3 max-pool of stride 2 follows both. `small_sN` is one 3x3 of
      stride N, `deep_sN` three of them, without max-pool.
    - `small_stem`: with `auto` a run replaces the stem by the small form that suits its image size.
      A network built from the config alone always has the stem that `stem` names.
    - `branch_stride`: which convolution of a bottleneck has the block's stride, `first` (the
      original, "A") or `middle` ("B"). In a basic block the first has it.
    - `shortcut`: where a block changes the shape, a 1x1 convolution with the stride (`conv`), or a
      2x2 average pool before one without stride ("D", `avg_pool`).
    - `last_stride`: of the last stage; 1 leaves its feature map at twice the size.
    - `depth_factor` multiplies the blocks of each stage, `width_factor` all channels, rounded as in
      `models.rounding`.
    - `cardinality`, `base_width`: those of ResNeXt's bottlenecks (Xie et al. 2017); 32 and 4 for
      `32x4d`.
    - `attention`: at the end of each residual branch. `selective_kernel`: in place of the 3x3
      convolution of a bottleneck, or the first of a basic block. `anti_alias`: where pixels are
      skipped. `drop`: after each normalisation of the blocks. See `models.parts`.
    - `stochastic_depth`: the probability with which training drops the last residual branch; it
      falls linearly towards the first. `dropout`: the probability for each pooled feature.
    - `pooling`: `tensorflow` pads the max-pool as TensorFlow does, and keeps the average pool of
      "D" shortcuts at stride 1, as the code of Lee et al. 2020 does. Only its weights need that.
    - `num_classes`: 0 means as many as the data has. `init`: the scheme of `models.init`.
    """

    kind: ClassVar[str] = "resnet"
    depth: Depth = 50
    stem: Stem = "imagenet"
    small_stem: Literal["never", "auto"] = "never"
    branch_stride: Literal["first", "middle"] = "middle"
    shortcut: Literal["conv", "avg_pool"] = "conv"
    last_stride: Literal[1, 2] = 2
    depth_factor: Annotated[float, Factor] = 1.0
    width_factor: Annotated[float, Factor] = 1.0
    cardinality: Annotated[int, AtLeast(1, 4096)] = 1
    base_width: Annotated[int, AtLeast(1, 4096)] = 64
    attention: SqueezeExcitePart | None = None
    selective_kernel: SelectiveKernel | None = None
    activation: Activation = Relu()
    norm: BatchNorm = BatchNorm()
    anti_alias: AntiAlias | None = None
    drop: DropBlockPart | None = None
    stochastic_depth: DropProb = 0.0
    dropout: DropProb = 0.0
    pooling: Pooling = "torch"
    num_classes: Annotated[int, AtLeast(0, MAX_CLASSES)] = 0
    in_channels: Annotated[int, AtLeast(1, 1024)] = 3
    init: Init = "xavier"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block == "basic" and (self.cardinality, self.base_width) != (1, 64):
            raise UserError(
                f"resnet.cardinality = {self.cardinality}, base_width = {self.base_width}: a "
                f"ResNet of depth {self.depth} has basic blocks, which have no groups",
                "take a depth of 50 or more, or 1 and 64",
            )
        group_widths = [width * self.base_width // 64 for width in self.widths]
        if min(group_widths) < 1:
            raise UserError(
                f"resnet.width_factor = {self.width_factor:g}: it leaves no channel to each of "
                f"{self.cardinality} groups",
                "take a larger factor, a larger base_width or fewer groups",
            )
        if isinstance(self.selective_kernel, SplitKernel) and any(w % 2 for w in group_widths):
            raise UserError(
                f"resnet.base_width = {self.base_width}: a split selective kernel halves the "
                f"channels of each group, which are odd at width_factor {self.width_factor:g}",
                "take an even width, or another selective kernel",
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """The inner channels of the blocks of the four stages; a bottleneck has 4 times as many."""
        return tuple(round_channels(width, self.width_factor) for width in _STAGE_WIDTHS)

    @property
    def block(self) -> Literal["basic", "bottleneck"]:
        """The kind of block that a ResNet of this depth has."""
        return "basic" if self.depth < 50 else "bottleneck"


@dataclass(frozen=True, kw_only=True)
class BigLittleConfig(Settings):
    """A Big-Little network of bottlenecks (Chen et al. 2019, arXiv 1807.03848).

    Assemble-ResNet (Lee et al. 2020) is one with its slots filled. Each of the first three stages
    has two branches: a big one at half the resolution, and a little one at full resolution with
    1 / `alpha` of the width and about 1 / `beta` of the blocks. One more block follows their sum.

    - `projection`: which shortcuts of the first block of a branch or stage have a convolution:
      `always` all of them (Lee et al.), `where_needed` those that change the number of channels
      (Chen et al.).
    - `last_pool`: the pool of the last stage's shortcut: `padded` a 3x3 average pool as everywhere
      else, `resnet_d` the 2x2 that the code of Lee et al. has there for a deep stem, which none of
      its published networks has.

    The other settings are those of `ResNetConfig`. In place of the stem's max-pool there is a pair
    of branches, of stride 1 in a stem without max-pool. Blocks at the same position of two branches
    have the same `stochastic_depth`.
    """

    kind: ClassVar[str] = "big_little"
    depth: Literal[50, 101, 152] = 50
    alpha: Literal[1, 2, 4] = 2
    beta: Annotated[int, AtLeast(1, 64)] = 4
    projection: Literal["always", "where_needed"] = "always"
    last_pool: Literal["padded", "resnet_d"] = "padded"
    depth_factor: Annotated[float, Factor] = 1.0
    width_factor: Annotated[float, Factor] = 1.0
    stem: Stem = "imagenet"
    small_stem: Literal["never", "auto"] = "never"
    attention: SqueezeExcitePart | None = None
    selective_kernel: SelectiveKernel | None = None
    activation: Activation = Relu()
    norm: BatchNorm = BatchNorm()
    anti_alias: AntiAlias | None = None
    drop: DropBlockPart | None = None
    stochastic_depth: DropProb = 0.0
    dropout: DropProb = 0.0
    num_classes: Annotated[int, AtLeast(0, MAX_CLASSES)] = 0
    in_channels: Annotated[int, AtLeast(1, 1024)] = 3
    init: Init = "xavier"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.anti_alias is not None and "stem" in self.anti_alias.places:
            raise UserError(
                "big_little.anti_alias.places has 'stem': a Big-Little network has no max-pool in "
                "its stem",
                "take branch, shortcut or both",
            )

    @property
    def name(self) -> str:
        """The name of the network in a message."""
        return f"bl_resnet{self.depth}"

    @property
    def widths(self) -> tuple[int, ...]:
        """The inner channels of the blocks of the four stages; those of the big branch."""
        return tuple(round_channels(width, self.width_factor) for width in _STAGE_WIDTHS)


@dataclass(frozen=True, kw_only=True)
class MobileNetConfig(Settings):
    """A MobileNet v1 of depthwise separable convolutions (Howard et al. 2017, arXiv 1704.04861).

    - `stem`: `imagenet` is a 3x3 convolution of stride 2, and the second stage has stride 2.
      `small_sN` has stride N, and the second stage stride 1: small images keep their resolution.
    - `width_factor`: the paper's width multiplier.
    - `attention`: at the end of each block. Hu et al. 2018 add it after the non-linearity in
      networks without shortcuts.
    - `anti_alias`: takes over the stride of a depthwise convolution.
    - `drop`: its four stages are those after the first, whose maps have the sizes of a ResNet's.
    - `activation`: the paper's ReLU. The published weights are for `Relu6`, which timm has.

    The other settings are those of `ResNetConfig`.
    """

    kind: ClassVar[str] = "mobilenet_v1"
    stem: Literal["imagenet", "small_s1", "small_s2"] = "imagenet"
    small_stem: Literal["never", "auto"] = "never"
    depth_factor: Annotated[float, Factor] = 1.0
    width_factor: Annotated[float, Factor] = 1.0
    attention: SqueezeExcitePart | None = None
    activation: Activation = Relu()
    norm: BatchNorm = BatchNorm()
    anti_alias: AntiAlias | None = None
    drop: DropBlockPart | None = None
    dropout: DropProb = 0.0
    num_classes: Annotated[int, AtLeast(0, MAX_CLASSES)] = 0
    in_channels: Annotated[int, AtLeast(1, 1024)] = 3
    init: Init = "xavier"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.anti_alias is not None and set(self.anti_alias.places) != {"branch"}:
            raise UserError(
                f"mobilenet_v1.anti_alias.places = {self.anti_alias.places!r}: a MobileNet has no "
                "shortcuts and no max-pool",
                "take branch alone",
            )


_Side = Annotated[int, AtLeast(1, MAX_IMAGE_SIZE)]


@dataclass(frozen=True, kw_only=True)
class TimmConfig(Settings):
    """A network of timm, by its name there; it keeps timm's own initialisation.

    - `activation`, `attention`, `anti_alias`: put into the network where its structure has a place
      for them (`models.timm.surgery`); None keeps what the network has.
    - `norm`: eps and momentum of every batch normalisation; None keeps timm's.
    - `stochastic_depth`, `dropout`: timm's `drop_path_rate` and `drop_rate`; 0 keeps the network's
      own.
    - `image_size`: the side in pixels, or height and width, of the only images that the network
      takes, for one that has tables of positions (timm's `img_size`). None is timm's size. A run
      sets it.
    - `auxiliary_weight`: the weight of the loss of the auxiliary head in training; 0 and None are
      no such head. A run sets it for the network that has one, Inception-V3.
    """

    kind: ClassVar[str] = "timm"
    introduced_later: ClassVar[tuple[str, ...]] = ("image_size", "auxiliary_weight")
    name: str = "resnet50"
    activation: Activation | None = None
    attention: SqueezeExcitePart | None = None
    anti_alias: AntiAlias | None = None
    norm: BatchNorm | None = None
    stochastic_depth: DropProb = 0.0
    dropout: DropProb = 0.0
    image_size: _Side | tuple[_Side, _Side] | None = None
    auxiliary_weight: Annotated[float, AtLeast(0, 1e6)] | None = None
    num_classes: Annotated[int, AtLeast(0, MAX_CLASSES)] = 0
    in_channels: Annotated[int, AtLeast(1, 1024)] = 3


OwnConfig = ResNetConfig | BigLittleConfig | MobileNetConfig
"""The configs of this package's own networks, which are built slot by slot."""

ModelConfig = ResNetConfig | BigLittleConfig | MobileNetConfig | TimmConfig

_TWEAKS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "": {"stem": "imagenet", "branch_stride": "middle", "shortcut": "conv"},
        "_a": {"stem": "imagenet", "branch_stride": "first", "shortcut": "conv"},
        "_b": {"stem": "imagenet", "branch_stride": "middle", "shortcut": "conv"},
        "_c": {"stem": "deep", "branch_stride": "middle", "shortcut": "conv"},
        "_d": {"stem": "deep", "branch_stride": "middle", "shortcut": "avg_pool"},
    }
)
_32X4D: Mapping[str, Any] = MappingProxyType({"cardinality": 32, "base_width": 4})
_ASSEMBLE: Mapping[str, Any] = MappingProxyType(
    {"selective_kernel": AssembleKernel(), "anti_alias": Blur()}
)
_EFFICIENTNET_DROPOUT = (0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5)


def _networks() -> dict[str, ModelConfig]:
    """Return the networks that have a name in this package."""
    named: dict[str, ModelConfig] = {}
    # timm and torchvision build form B, so a name without a letter means B.
    depths: tuple[Depth, ...] = get_args(Depth)
    for depth in depths:
        for tweak, settings in _TWEAKS.items():
            named[f"resnet{depth}{tweak}"] = ResNetConfig(depth=depth, **settings)
    for depth in depths[2:4]:
        for tweak in ("", "_c", "_d"):
            named[f"resnext{depth}_32x4d{tweak}"] = ResNetConfig(
                depth=depth, **_TWEAKS[tweak], **_32X4D
            )
    return named | {
        "seresnet50": ResNetConfig(attention=SqueezeExcitePart()),
        "seresnext50_32x4d": ResNetConfig(attention=SqueezeExcitePart(), **_32X4D),
        "skresnet50": ResNetConfig(selective_kernel=SplitKernel()),
        "skresnext50_32x4d": ResNetConfig(selective_kernel=OriginalKernel(), **_32X4D),
        "resnetblur50": ResNetConfig(anti_alias=Blur(places=("branch", "stem"))),
        "resnetaa50d": ResNetConfig(anti_alias=AveragePool(), **_TWEAKS["_d"]),
        "bl_resnet50": BigLittleConfig(depth=50),
        "bl_resnet101": BigLittleConfig(depth=101),
        "assemble_resnet50": BigLittleConfig(depth=50, **_ASSEMBLE),
        "assemble_resnet101": BigLittleConfig(depth=101, **_ASSEMBLE),
        # The published networks have alpha 2 and beta 4, but this one 1 and 2.
        "assemble_resnet152": BigLittleConfig(depth=152, alpha=1, beta=2, **_ASSEMBLE),
        "mobilenet_v1": MobileNetConfig(),
        # Lee et al. 2020 report both reductions. Hu et al. 2018 have 16.
        "se_mobilenet_v1_r16": MobileNetConfig(attention=SqueezeExcitePart()),
        "se_mobilenet_v1_r2": MobileNetConfig(attention=SqueezeExcitePart(reduction=2)),
        "densenet201": TimmConfig(name="densenet201"),
        "inception_v3": TimmConfig(name="inception_v3"),
        # Tan & Le 2019 as their code trains them. timm's `tf_` networks have its sizes and its
        # padding; timm's other `efficientnet` networks have not.
        **{
            f"efficientnet_b{i}": TimmConfig(
                name=f"tf_efficientnet_b{i}",
                norm=BatchNorm(eps=1e-3, momentum=0.01),
                stochastic_depth=0.2,
                dropout=dropout,
            )
            for i, dropout in enumerate(_EFFICIENTNET_DROPOUT)
        },
    }


_NETWORKS: Mapping[str, ModelConfig] = MappingProxyType(_networks())


def model_names() -> list[str]:
    """List the names that `create_model` knows; in addition, `timm:NAME` is any network of timm."""
    return list(_NETWORKS)


def model_config(name: str) -> ModelConfig:
    """Return the config of a network by its name: `resnet50_d`, or `timm:mobilenetv3_small_100`.

    Raises UserError for a name that is not known. A name of timm is checked later, when the network
    is built.
    """
    if name.startswith("timm:") and len(name) > len("timm:"):
        return TimmConfig(name=name.removeprefix("timm:"))
    if name not in _NETWORKS:
        raise UserError(
            f"no model {name!r}",
            f"there are {', '.join(model_names())}, and timm:NAME for any of timm's",
        )
    return _NETWORKS[name]


def read_model(data: object) -> ModelConfig:
    """Build a network's config from plain data, or from a network's name.

    Raises UserError for an unknown kind or setting, a wrong type or a value out of range.
    """
    if isinstance(data, str):
        return model_config(data)
    kinds: dict[str, type[ModelConfig]] = {
        config.kind: config
        for config in (ResNetConfig, TimmConfig, BigLittleConfig, MobileNetConfig)
    }
    if not isinstance(data, dict):
        raise UserError(
            f"model = {data!r}: must be a model's name, or a mapping with kind {' or '.join(kinds)}"
        )
    kind = data.get("kind", ResNetConfig.kind)
    if not isinstance(kind, str) or kind not in kinds:
        raise UserError(f"model.kind = {kind!r}: must be one of {', '.join(kinds)}")
    return read(kinds[kind], data, "model")
