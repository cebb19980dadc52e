"""Networks as plain data: which network a name means, and every slot of our own ResNets."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

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
from trickbag.settings import AtLeast, Between, Positive, Settings, read

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DEEP_STEMS",
    "BatchNorm",
    "BigLittleConfig",
    "Init",
    "MobileNetConfig",
    "ModelConfig",
    "OwnConfig",
    "Pooling",
    "Relu",
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
DropProb = Annotated[float, Between(0, 1, open_high=True)]

DEEP_STEMS: Mapping[Stem, Stem] = MappingProxyType(
    {"imagenet": "deep", "small_s1": "deep_s1", "small_s2": "deep_s2"}
)
"""The deep form (three 3x3 convolutions, ResNet-C) of each plain stem, at the same stride."""

_STAGE_WIDTHS = (64, 128, 256, 512)


@dataclass(frozen=True, kw_only=True)
class ResNetConfig(Settings):
    """A ResNet of our own, slot by slot (He et al. 2018, arXiv 1812.01187, section 4).

    `stem`: `imagenet` is 7x7 stride 2, `deep` three 3x3 (32, 32, 64 channels, the first of stride
    2), both before a 3x3 max-pool of stride 2; `small_sN` is one 3x3 of stride N and `deep_sN`
    three of them, both without max-pool. `small_stem`: whether a run takes the small form of the
    stem that suits its image size (`auto`); a network that is made by its config alone has the stem
    that `stem` says. `branch_stride`: the convolution of a bottleneck's residual branch that moves
    by the block's stride, `first` (the original, "A") or `middle` ("B"); basic blocks have it on
    their first. `shortcut`: where a block changes shape, a 1x1 convolution with the stride (`conv`)
    or a 2x2 average pool before one without ("D", `avg_pool`). `last_stride`: of the last stage; 1
    leaves its feature map at twice the size. `cardinality` and `base_width` of bottlenecks are
    those of ResNeXt (Xie et al. 2017): 32 and 4 for `32x4d`. `attention` acts at the end of each
    residual branch, `selective_kernel` in place of each 3x3 convolution of a bottleneck (the first
    of a basic block), `anti_alias` where pixels are skipped, `drop` after each normalisation of the
    blocks; see `models.parts`. `stochastic_depth` is the probability with which the last residual
    branch of the network is dropped in training; it falls linearly to that of the first. `dropout`
    is that of each pooled feature. `depth_factor` multiplies the blocks of each stage,
    `width_factor` all channels, by the rounding rules of `models.scaling`. `pooling`: `tensorflow`
    pads the max-pool, and has the average pool of "D" shortcuts at stride 1 too, as the original
    code of Lee et al. 2020 does; only its weights need that. `num_classes` 0 is taken from the
    data. `init`: of the weights, see `models.init`.
    """

    kind: ClassVar[str] = "resnet"
    depth: Depth = 50
    stem: Stem = "imagenet"
    small_stem: Literal["never", "auto"] = "never"
    branch_stride: Literal["first", "middle"] = "middle"
    shortcut: Literal["conv", "avg_pool"] = "conv"
    last_stride: Literal[1, 2] = 2
    depth_factor: Annotated[float, Positive] = 1.0
    width_factor: Annotated[float, Positive] = 1.0
    cardinality: Annotated[int, AtLeast(1)] = 1
    base_width: Annotated[int, AtLeast(1)] = 64
    attention: SqueezeExcitePart | None = None
    selective_kernel: SelectiveKernel | None = None
    activation: Activation = Relu()
    norm: BatchNorm = BatchNorm()
    anti_alias: AntiAlias | None = None
    drop: DropBlockPart | None = None
    stochastic_depth: DropProb = 0.0
    dropout: DropProb = 0.0
    pooling: Pooling = "torch"
    num_classes: Annotated[int, AtLeast(0)] = 0
    in_channels: Annotated[int, AtLeast(1)] = 3
    init: Init = "xavier"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block == "basic" and (self.cardinality, self.base_width) != (1, 64):
            raise UserError(
                f"resnet.cardinality = {self.cardinality}, base_width = {self.base_width}: a "
                f"ResNet of depth "
                f"{self.depth} has basic blocks, which have no groups; take a depth of 50 or more, "
                f"or 1 and 64"
            )
        # Of each group, at a convolution with groups.
        least = min(width * self.base_width // 64 for width in self.widths)
        if least < 1:
            raise UserError(
                f"resnet.width_factor = {self.width_factor:g}: it leaves no channel to each of "
                f"{self.cardinality} "
                "groups; take a larger factor, a larger base_width or fewer groups"
            )
        if isinstance(self.selective_kernel, SplitKernel) and any(
            w * self.base_width // 64 % 2 for w in self.widths
        ):
            raise UserError(
                f"resnet.base_width = {self.base_width}: a split selective kernel halves the "
                f"channels of each group, "
                f"which are odd at width_factor {self.width_factor:g}; take an even width, or "
                f"another selective kernel"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """The inner channels of the four stages' blocks; the outer ones are four times as many in
        bottlenecks."""
        return tuple(round_channels(width, self.width_factor) for width in _STAGE_WIDTHS)

    @property
    def block(self) -> Literal["basic", "bottleneck"]:
        """The kind of block that this depth is made of."""
        return "basic" if self.depth < 50 else "bottleneck"


@dataclass(frozen=True, kw_only=True)
class BigLittleConfig(Settings):
    """A Big-Little network of bottlenecks (Chen et al. 2019, arXiv 1807.03848), as Lee et al. 2020 assemble upon it.

    Each of the first three stages has two branches: a big one at half the resolution, and a little
    one at full resolution with 1 / `alpha` of the width and about 1 / `beta` of the blocks; their
    sum goes through one block more. `projection`: the shortcuts of a branch's or stage's first
    block that have a convolution, `always` all of them (Lee et al.), `where_needed` those that
    change the number of channels (Chen et al.). `last_pool`: of the last stage's shortcut, `padded`
    a 3x3 average pool as everywhere, or `resnet_d` the 2x2 that the code of Lee et al. has there
    for a deep stem, which none of its published networks has. `stem`, `small_stem`, the factors,
    the slots, `num_classes` and `init` are those of `ResNetConfig`; in the place of a stem's
    max-pool there is a pair of branches, which without max-pool has stride 1. Blocks of the two
    branches at the same place have the same `stochastic_depth`.
    """

    kind: ClassVar[str] = "big_little"
    depth: Literal[50, 101, 152] = 50
    alpha: Literal[1, 2, 4] = 2
    beta: Annotated[int, AtLeast(1)] = 4
    projection: Literal["always", "where_needed"] = "always"
    last_pool: Literal["padded", "resnet_d"] = "padded"
    depth_factor: Annotated[float, Positive] = 1.0
    width_factor: Annotated[float, Positive] = 1.0
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
    num_classes: Annotated[int, AtLeast(0)] = 0
    in_channels: Annotated[int, AtLeast(1)] = 3
    init: Init = "xavier"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.anti_alias is not None and "stem" in self.anti_alias.places:
            raise UserError(
                "big_little.anti_alias.places has 'stem': a Big-Little network has no max-pool in "
                "its stem; "
                "take branch, shortcut or both"
            )

    @property
    def name(self) -> str:
        """What to call the network in a message."""
        return f"bl_resnet{self.depth}"

    @property
    def widths(self) -> tuple[int, ...]:
        """The inner channels of the four stages' blocks, of the big branch where there are two."""
        return tuple(round_channels(width, self.width_factor) for width in _STAGE_WIDTHS)


@dataclass(frozen=True, kw_only=True)
class MobileNetConfig(Settings):
    """A MobileNet of depthwise separable convolutions (Howard et al. 2017, arXiv 1704.04861, table 1).

    `stem`: `imagenet` is one 3x3 of stride 2; `small_sN` one of stride N, and then the second
    stage, which has a stride of 2 otherwise, has none, so that small images keep resolution as with
    the stems of a ResNet. `width_factor` is the paper's width multiplier. `attention` acts at the
    end of each block (Hu et al. 2018 add it after the non-linearity in networks without shortcuts),
    `anti_alias` takes the stride of a depthwise convolution, `drop` counts the stages after the
    first, whose maps are those of a ResNet's stages. `small_stem`, the factors, `dropout`,
    `num_classes` and `init` are those of `ResNetConfig`. The activation is the paper's ReLU; timm's
    network, whose weights are published, has `Relu6`.
    """

    kind: ClassVar[str] = "mobilenet_v1"
    stem: Literal["imagenet", "small_s1", "small_s2"] = "imagenet"
    small_stem: Literal["never", "auto"] = "never"
    depth_factor: Annotated[float, Positive] = 1.0
    width_factor: Annotated[float, Positive] = 1.0
    attention: SqueezeExcitePart | None = None
    activation: Activation = Relu()
    norm: BatchNorm = BatchNorm()
    anti_alias: AntiAlias | None = None
    drop: DropBlockPart | None = None
    dropout: DropProb = 0.0
    num_classes: Annotated[int, AtLeast(0)] = 0
    in_channels: Annotated[int, AtLeast(1)] = 3
    init: Init = "xavier"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.anti_alias is not None and set(self.anti_alias.places) != {"branch"}:
            raise UserError(
                f"mobilenet_v1.anti_alias.places = {self.anti_alias.places!r}: a MobileNet has no "
                f"shortcuts and no "
                "max-pool; take branch alone"
            )


@dataclass(frozen=True, kw_only=True)
class TimmConfig(Settings):
    """Any network of the timm library, by its timm name; it keeps timm's own initialisation.

    `activation`, `attention` and `anti_alias` are put into the network where its structure has a
    place for them, None leaves what it has; see `models.surgery`. `norm` sets eps and momentum of
    every batch normalisation, None leaves timm's. `stochastic_depth` and `dropout` are timm's
    `drop_path_rate` and `drop_rate`; 0 leaves the network's own.
    """

    kind: ClassVar[str] = "timm"
    name: str = "resnet50"
    activation: Activation | None = None
    attention: SqueezeExcitePart | None = None
    anti_alias: AntiAlias | None = None
    norm: BatchNorm | None = None
    stochastic_depth: DropProb = 0.0
    dropout: DropProb = 0.0
    num_classes: Annotated[int, AtLeast(0)] = 0
    in_channels: Annotated[int, AtLeast(1)] = 3


OwnConfig = ResNetConfig | BigLittleConfig | MobileNetConfig
"""The networks of this package, which are built slot by slot."""

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
    """Give every network that has a name of our own."""
    named: dict[str, ModelConfig] = {}
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
        "assemble_resnet152": BigLittleConfig(depth=152, alpha=1, beta=2, **_ASSEMBLE),
        "mobilenet_v1": MobileNetConfig(),
        "se_mobilenet_v1_r16": MobileNetConfig(attention=SqueezeExcitePart()),
        "se_mobilenet_v1_r2": MobileNetConfig(attention=SqueezeExcitePart(reduction=2)),
        "densenet201": TimmConfig(name="densenet201"),
        "inception_v3": TimmConfig(name="inception_v3"),
        # Tan & Le 2019 as their code trains them: timm's ports of it have its sizes and its
        # padding.
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
    """List the networks that `create_model` knows by name; any of timm's is `timm:NAME` besides."""
    return list(_NETWORKS)


def model_config(name: str) -> ModelConfig:
    """Return the config of a network's name: `resnet50_d`, or `timm:mobilenetv3_small_100`.

    Raises UserError for a name that is not known; timm's names are checked when the network is
    built.
    """
    if name.startswith("timm:") and len(name) > len("timm:"):
        return TimmConfig(name=name.removeprefix("timm:"))
    if name not in _NETWORKS:
        raise UserError(
            f"no model {name!r}; there are {', '.join(model_names())}, and timm:NAME for any of "
            f"timm's"
        )
    return _NETWORKS[name]


def read_model(data: object) -> ModelConfig:
    """Build a network's config from plain data, or from a network's name.

    Raises UserError for a kind or a setting that does not exist, a wrong type or a value out of
    range.
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
