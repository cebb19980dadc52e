"""The parts that can fill the slots of a network, as settings.

They are activations, normalisation, attention, selective kernels, anti-aliasing and DropBlock. Each
is a small value that compares, prints and saves; called, it builds its layer. This module loads no
torch, as a recipe is made of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.ranges import AtLeast, Between, NonNegative, Positive
from trickbag.settings import Settings

if TYPE_CHECKING:
    from torch import nn

    from trickbag.models.layers.slots import Slots

__all__ = [
    "Activation",
    "AntiAlias",
    "AssembleKernel",
    "AveragePool",
    "BatchNorm",
    "Blur",
    "DropBlockPart",
    "Gelu",
    "HardSwish",
    "LeakyRelu",
    "Mish",
    "OriginalKernel",
    "Place",
    "Relu",
    "Relu6",
    "SelectiveKernel",
    "Silu",
    "SplitKernel",
    "SqueezeExcitePart",
    "StageScale",
]

Place = Literal["branch", "shortcut", "stem"]


@dataclass(frozen=True, kw_only=True)
class Relu(Settings):
    """The activation `max(x, 0)`."""

    kind: ClassVar[str] = "relu"

    def __call__(self) -> nn.Module:
        """Build the layer; it overwrites its input, which a block does not need again."""
        from torch import nn

        return nn.ReLU(inplace=True)


@dataclass(frozen=True, kw_only=True)
class Relu6(Settings):
    """The activation `min(max(x, 0), 6)` (Sandler et al. 2018, arXiv 1801.04381)."""

    kind: ClassVar[str] = "relu6"

    def __call__(self) -> nn.Module:
        """Build the layer; it overwrites its input, as that of `Relu`."""
        from torch import nn

        return nn.ReLU6(inplace=True)


@dataclass(frozen=True, kw_only=True)
class LeakyRelu(Settings):
    """The activation `max(x, slope x)`."""

    kind: ClassVar[str] = "leaky_relu"
    slope: Annotated[float, Between(0, 1)] = 0.01

    def __call__(self) -> nn.Module:
        """Build the layer."""
        from torch import nn

        return nn.LeakyReLU(self.slope)


@dataclass(frozen=True, kw_only=True)
class Silu(Settings):
    """The activation `x sigmoid(x)`, or Swish (Ramachandran et al. 2017, arXiv 1710.05941)."""

    kind: ClassVar[str] = "silu"

    def __call__(self) -> nn.Module:
        """Build the layer."""
        from torch import nn

        return nn.SiLU()


@dataclass(frozen=True, kw_only=True)
class HardSwish(Settings):
    """The activation `x min(max(x + 3, 0), 6) / 6` (Howard et al. 2019, arXiv 1905.02244)."""

    kind: ClassVar[str] = "hard_swish"

    def __call__(self) -> nn.Module:
        """Build the layer."""
        from torch import nn

        return nn.Hardswish()


@dataclass(frozen=True, kw_only=True)
class Mish(Settings):
    """The activation `x tanh(log(1 + exp(x)))` (Misra 2019, arXiv 1908.08681)."""

    kind: ClassVar[str] = "mish"

    def __call__(self) -> nn.Module:
        """Build the layer."""
        from torch import nn

        return nn.Mish()


@dataclass(frozen=True, kw_only=True)
class Gelu(Settings):
    """The activation `x P(Z <= x)`, Z standard normal (Hendrycks & Gimpel, arXiv 1606.08415)."""

    kind: ClassVar[str] = "gelu"

    def __call__(self) -> nn.Module:
        """Build the layer."""
        from torch import nn

        return nn.GELU()


Activation = Relu | Relu6 | LeakyRelu | Silu | HardSwish | Mish | Gelu


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Settings):
    """Batch normalisation.

    `momentum` is torch's, the weight of the new batch: 0.1 is 0.9 in MXNet and TensorFlow.
    """

    kind: ClassVar[str] = "batch_norm"
    eps: Annotated[float, Positive] = 1e-5
    momentum: Annotated[float, Between(0, 1, open_low=True)] = 0.1

    def __call__(self, channels: int) -> nn.Module:
        """Build the layer for feature maps of `channels` channels."""
        from torch import nn

        return nn.BatchNorm2d(channels, eps=self.eps, momentum=self.momentum)


@dataclass(frozen=True, kw_only=True)
class SqueezeExcitePart(Settings):
    """Squeeze-and-excitation at the end of the residual branch (`models.layers.squeeze_excite`).

    A map of C channels is squeezed to about C / `reduction` of them, rounded to a multiple of
    `divisor` and at least `divisor`. `bias`: whether the two layers of the gate have biases. Lee et
    al. 2020 use `bias=False` and `divisor=1`, which rounds nothing.
    """

    kind: ClassVar[str] = "squeeze_excite"
    reduction: Annotated[int, AtLeast(1, 65_536)] = 16
    bias: bool = True
    divisor: Annotated[int, AtLeast(1, 1024)] = 8

    def __call__(self, channels: int) -> nn.Module:
        """Build the layer for feature maps of `channels` channels."""
        from trickbag.models.layers.squeeze_excite import SqueezeExcite2d

        # Without the network's activation: a gate keeps its ReLU.
        return SqueezeExcite2d(
            channels, reduction=self.reduction, bias=self.bias, divisor=self.divisor
        )


@dataclass(frozen=True, kw_only=True)
class AssembleKernel(Settings):
    """The selective kernel of Lee et al. 2020: one 3x3 convolution to twice the channels.

    Attention weighs the two halves of its output against each other; it has
    `max(width // reduction, least)` channels inside. See `models.layers.selective_kernel`.
    """

    kind: ClassVar[str] = "assemble"
    reduction: Annotated[int, AtLeast(1, 65_536)] = 2
    least: Annotated[int, AtLeast(1, 4096)] = 32

    def __call__(
        self, in_channels: int, width: int, stride: int, groups: int, slots: Slots
    ) -> nn.Module:
        """Build what replaces a 3x3 convolution with its normalisation and its activation."""
        from trickbag.models.layers.selective_kernel import AssembleKernel2d

        inside = max(width // self.reduction, self.least)
        return AssembleKernel2d(
            in_channels, width, inside, stride=stride, groups=groups, slots=slots
        )


@dataclass(frozen=True, kw_only=True)
class OriginalKernel(Settings):
    """The selective kernel of Li et al. 2019: a 3x3 convolution and a dilated one.

    Both see all channels. Attention weighs their outputs against each other; it has
    `max(width // reduction, least)` channels inside. See `models.layers.selective_kernel`.
    """

    kind: ClassVar[str] = "original"
    reduction: Annotated[int, AtLeast(1, 65_536)] = 16
    least: Annotated[int, AtLeast(1, 4096)] = 32

    def __call__(
        self, in_channels: int, width: int, stride: int, groups: int, slots: Slots
    ) -> nn.Module:
        """Build what replaces a 3x3 convolution with its normalisation and its activation."""
        from trickbag.models.layers.selective_kernel import DilatedKernels2d

        inside = max(width // self.reduction, self.least)
        return DilatedKernels2d(
            in_channels, width, inside, stride=stride, groups=groups, split=False, slots=slots
        )


@dataclass(frozen=True, kw_only=True)
class SplitKernel(Settings):
    """The selective kernel of timm: each of the two convolutions sees one half of the channels.

    Otherwise it is the original one. Its attention has `max(width // reduction, least)` channels
    inside. See `models.layers.selective_kernel`.
    """

    kind: ClassVar[str] = "split"
    reduction: Annotated[int, AtLeast(1, 65_536)] = 16
    least: Annotated[int, AtLeast(1, 4096)] = 8

    def __call__(
        self, in_channels: int, width: int, stride: int, groups: int, slots: Slots
    ) -> nn.Module:
        """Build what replaces a 3x3 convolution with its normalisation and its activation."""
        from trickbag.models.layers.selective_kernel import DilatedKernels2d

        inside = max(width // self.reduction, self.least)
        return DilatedKernels2d(
            in_channels, width, inside, stride=stride, groups=groups, split=True, slots=slots
        )


SelectiveKernel = AssembleKernel | OriginalKernel | SplitKernel


@dataclass(frozen=True, kw_only=True)
class Blur(Settings):
    """A binomial blur wherever the network would skip pixels (Zhang 2019, arXiv 1904.11486).

    `size` is that of the filter: 3 is [1, 2, 1] in both directions. `places`: `branch`, after the
    strided convolution of a residual branch, which then has no stride; `shortcut`, in place of the
    layer that shrinks a shortcut; `stem`, after the max-pool, which then has no stride. Lee et al.
    2020 use the branch only.
    """

    kind: ClassVar[str] = "blur"
    size: Annotated[int, Between(2, 7)] = 3
    places: tuple[Place, ...] = ("branch",)

    def __call__(self, channels: int, stride: int) -> nn.Module:
        """Build the layer for feature maps of `channels` channels."""
        from trickbag.models.layers.anti_alias import BlurPool2d

        return BlurPool2d(channels, size=self.size, stride=stride)

    def stem_pool(self, channels: int) -> nn.Module:
        """Build the pool of a stem: a dense max-pool, then the blur of stride 2."""
        from torch import nn

        return nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), self(channels, 2))


@dataclass(frozen=True, kw_only=True)
class AveragePool(Settings):
    """An average pool wherever the network would skip pixels, as in timm's `resnetaa` networks.

    `places` are those of `Blur`, except that in the stem it replaces the max-pool.
    """

    kind: ClassVar[str] = "average_pool"
    places: tuple[Place, ...] = ("branch", "stem")

    def __call__(self, channels: int, stride: int) -> nn.Module:
        """Build the layer; at odd sizes the last window is smaller and averages fewer pixels."""
        from torch import nn

        return nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)

    def stem_pool(self, channels: int) -> nn.Module:
        """Build the pool of a stem; at odd sizes it skips the last row and column, as in timm."""
        from torch import nn

        return nn.AvgPool2d(2)


AntiAlias = Blur | AveragePool


StageScale = Annotated[float, NonNegative]


@dataclass(frozen=True, kw_only=True)
class DropBlockPart(Settings):
    """DropBlock after every normalisation of a block (Ghiasi et al. 2018, arXiv 1810.12890).

    `keep_prob` is the value that a network starts with; the trick `drop_block` changes it during a
    run. `scales` multiply the probability of dropping in each of the four stages; with 0 a stage
    has no such layer. The other settings are those of `models.layers.drop.drop_block`. The defaults
    are those of Lee et al. 2020.
    """

    kind: ClassVar[str] = "drop_block"
    keep_prob: Annotated[float, Between(0, 1, open_low=True)] = 0.9
    block_size: Annotated[int, AtLeast(1, 1024)] = 7
    scales: tuple[StageScale, StageScale, StageScale, StageScale] = (0.0, 0.0, 0.25, 1.0)
    images: Literal["shared", "each"] = "shared"
    channels: Literal["shared", "each"] = "each"

    def __call__(self, stage: int) -> nn.Module:
        """Build the layer for a stage, 1 to 4."""
        from trickbag.models.layers.drop import DropBlock2d

        scale = self.scales[stage - 1]
        return DropBlock2d(
            self.keep_prob, self.block_size, scale=scale, images=self.images, channels=self.channels
        )
