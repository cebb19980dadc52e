"""Policies: random operations on a cropped image, as values that a recipe can hold.

Shapes: H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.data.policies.magnitudes import (
    LEVELS,
    Interpolation,
    Operation,
    Ranges,
    argument,
)
from trickbag.errors import UserError
from trickbag.ranges import Above, AtLeast, Between, Fraction
from trickbag.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from PIL import Image

__all__ = [
    "MAX_BINS",
    "MAX_COUNT",
    "LearnedPolicy",
    "MixedPolicy",
    "Policy",
    "RandomPolicy",
    "Step",
    "Table",
    "ThreeAugmentPolicy",
    "check_table",
    "mix_chains",
]

Step = tuple[Operation, Annotated[float, Fraction], Annotated[int, Between(0, 10)]]
"""Operation, probability, magnitude."""

Table = tuple[tuple[Step, ...], ...]
"""Rows of steps, of which an image gets one at random."""

Grey = Annotated[int, Between(0, 255)]

MAX_BINS = 1000
"""The most steps into which a range of magnitudes is divided."""

MAX_COUNT = 100
"""The most operations in a row, and the most versions of an image in a mixture.

No image stays recognisable after so many: a larger number is a slip.
"""

MAX_RADIUS = 100.0
"""The largest standard deviation of a blur, in pixels."""

_SMALLEST_RADIUS = 0.1
_SOLARIZED_FROM = 128
_JITTERED: tuple[Operation, ...] = ("brightness", "contrast", "color")

_SPACE: tuple[Operation, ...] = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "auto_contrast",
    "equalize",
)
# As in timm: no identity, which its probability of an operation stands for.
_INCREASING: tuple[Operation, ...] = (
    "auto_contrast",
    "equalize",
    "invert",
    "rotate",
    "posterize",
    "solarize",
    "solarize_add",
    "color",
    "contrast",
    "brightness",
    "sharpness",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
# AugMix is evaluated on ImageNet-C, so it leaves out the operations that resemble its corruptions.
_UNLIKE_CORRUPTIONS: tuple[Operation, ...] = (
    "auto_contrast",
    "equalize",
    "posterize",
    "rotate",
    "solarize",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
_LIKE_CORRUPTIONS: tuple[Operation, ...] = ("color", "contrast", "brightness", "sharpness")


@dataclass(frozen=True, kw_only=True)
class LearnedPolicy(Settings):
    """Draw a row of a table for each image, and do each of its steps with the step's probability.

    A step is (operation, probability, magnitude). Magnitudes go from 0 to 9, with
    `ranges = assemble` to 10. The sign of a signed argument is drawn.
    """

    kind: ClassVar[str] = "learned"

    table: Table
    ranges: Literal["standard", "assemble"] = "standard"
    fill: Grey = 0
    interpolation: Interpolation = "nearest"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_table(self.table, self.ranges, "learned.table")

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Return the changed RGB image."""
        # Pillow is imported with the first image: recipes hold policies, and need no Pillow.
        from trickbag.data.policies.operations import operate

        row = self.table[int(rng.integers(len(self.table)))]
        draws = rng.random((len(row), 2)).tolist()
        for (operation, probability, magnitude), (chance, sign) in zip(row, draws, strict=True):
            if chance < probability:
                share = magnitude / LEVELS[self.ranges]
                value = argument(operation, self.ranges, share, sign < 0.5, image.size)
                # Drawn for this operation alone: the draws of other policies stay as they were.
                x, y = rng.random(2).tolist() if operation == "cutout" else (0.5, 0.5)
                image = operate(image, operation, value, self.fill, self.interpolation, (x, y))
        return image


def check_table(table: Table, ranges: Ranges, path: str) -> None:
    """Raise UserError for a table without rows and a magnitude beyond the ranges.

    `path` names the table in the message.
    """
    if not table:
        raise UserError(
            f"{path} is empty: it needs at least one row of steps (operation, probability, 0-9)"
        )
    highest = LEVELS[ranges]
    for row in table:
        for operation, _, magnitude in row:
            if magnitude > highest:
                raise UserError(
                    f"{path}: {operation} has magnitude {magnitude}; "
                    f"with ranges = {ranges} it goes to {highest}"
                )


@dataclass(frozen=True, kw_only=True)
class RandomPolicy(Settings):
    """Draw `count` of RandAugment's fourteen operations for each image, and do them in sequence.

    `magnitude` goes from 0 to `bins` - 1; None draws it for each operation. The sign of a signed
    argument is drawn. With `ranges = increasing` the operations are timm's fifteen. An operation is
    done with the probability `prob`, at a magnitude that is normal with the standard deviation
    `magnitude_std`, cut off at both ends.
    """

    kind: ClassVar[str] = "random"
    introduced_later: ClassVar[tuple[str, ...]] = ("magnitude_std", "prob")

    count: Annotated[int, Between(1, MAX_COUNT)] = 2
    magnitude: Annotated[int, AtLeast(0, MAX_BINS)] | None = 9
    bins: Annotated[int, AtLeast(2, MAX_BINS)] = 31
    ranges: Literal["standard", "wide", "increasing"] = "standard"
    fill: Grey = 0
    interpolation: Interpolation = "nearest"
    prob: Annotated[float, Fraction] = 1.0
    magnitude_std: Annotated[float, AtLeast(0, MAX_BINS)] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.magnitude is not None and self.magnitude >= self.bins:
            raise UserError(
                f"random.magnitude = {self.magnitude}: "
                f"with bins = {self.bins} it goes from 0 to {self.bins - 1}"
            )

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Return the changed RGB image."""
        from trickbag.data.policies.operations import operate

        space = _INCREASING if self.ranges == "increasing" else _SPACE
        for choice, level, sign in rng.random((self.count, 3)).tolist():
            operation = space[int(choice * len(space))]
            magnitude = float(int(level * self.bins) if self.magnitude is None else self.magnitude)
            # Drawn where they count alone: the draws of other policies stay as they were.
            if self.magnitude_std:
                magnitude += self.magnitude_std * float(rng.standard_normal())
                magnitude = min(max(magnitude, 0.0), self.bins - 1.0)
            if self.prob < 1 and rng.random() >= self.prob:
                continue
            value = argument(
                operation, self.ranges, magnitude / (self.bins - 1), sign < 0.5, image.size
            )
            image = operate(image, operation, value, self.fill, self.interpolation)
        return image


@dataclass(frozen=True, kw_only=True)
class MixedPolicy(Settings):
    """Mix an image with `width` versions of it, each the end of a chain of operations (AugMix).

    A chain has `depth` operations; None draws one to three. Magnitudes are uniform from 0.1 to
    `severity`, of at most 10. The weights of the chains follow a Dirichlet distribution, and their
    share in the mixture a Beta distribution, with all parameters `alpha`. `every_operation` adds
    color, contrast, brightness and sharpness, which resemble corruptions of ImageNet-C.
    """

    kind: ClassVar[str] = "mixed"

    severity: Annotated[int, Between(1, 10)] = 3
    width: Annotated[int, Between(1, MAX_COUNT)] = 3
    depth: Annotated[int, Between(1, MAX_COUNT)] | None = None
    alpha: Annotated[float, Above(0, 1e6)] = 1.0
    every_operation: bool = False
    fill: Grey = 0
    interpolation: Interpolation = "bilinear"

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Return the changed RGB image."""
        from trickbag.data.policies.operations import operate

        space = _UNLIKE_CORRUPTIONS + (_LIKE_CORRUPTIONS if self.every_operation else ())
        weights = rng.dirichlet([self.alpha] * self.width)
        share = float(rng.beta(self.alpha, self.alpha))
        chains = []
        for _ in range(self.width):
            chain = image
            depth = self.depth if self.depth is not None else int(rng.integers(1, 4))
            for choice, level, sign in rng.random((depth, 3)).tolist():
                operation = space[int(choice * len(space))]
                magnitude = (0.1 + (self.severity - 0.1) * level) / LEVELS["augmix"]
                value = argument(operation, "augmix", magnitude, sign < 0.5, image.size)
                chain = operate(chain, operation, value, self.fill, self.interpolation)
            chains.append(chain)
        return mix_chains(image, chains, weights.tolist(), share)


def mix_chains(
    image: Image.Image, chains: Sequence[Image.Image], weights: Sequence[float], share: float
) -> Image.Image:
    """Return `(1 - share) image + share * sum_i weights_i chains_i`, rounded to integer levels.

    `weights` sum to 1. Source: Hendrycks et al. 2020, section 3, where the mixture is not rounded.
    """
    import numpy as np
    from PIL import Image

    mixed_HW3 = np.asarray(image, np.float32) * np.float32(1 - share)
    for chain, weight in zip(chains, weights, strict=True):
        mixed_HW3 += np.asarray(chain, np.float32) * np.float32(share * weight)
    return Image.fromarray((mixed_HW3 + np.float32(0.5)).clip(0, 255).astype(np.uint8))


@dataclass(frozen=True, kw_only=True)
class ThreeAugmentPolicy(Settings):
    """Make an image grey, solarize it or blur it, one of the three; then change its colours.

    The blur is Gaussian, with a standard deviation uniform from 0.1 to `radius`, in pixels.
    Brightness, contrast and saturation are scaled by factors uniform from 1 - `color_jitter` to 1 +
    `color_jitter`, in random order.
    """

    kind: ClassVar[str] = "three_augment"

    color_jitter: Annotated[float, Fraction] = 0.3
    radius: Annotated[float, AtLeast(_SMALLEST_RADIUS, MAX_RADIUS)] = 2.0

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Return the changed RGB image."""
        from trickbag.data.policies.operations import blur, grey, operate

        choice, share = rng.random(2).tolist()
        factors = rng.uniform(1 - self.color_jitter, 1 + self.color_jitter, 3).tolist()
        order = rng.permutation(3).tolist()
        radius = _SMALLEST_RADIUS + (self.radius - _SMALLEST_RADIUS) * share
        if choice < 1 / 3:
            image = grey(image)
        elif choice < 2 / 3:
            image = operate(image, "solarize", _SOLARIZED_FROM)
        else:
            image = blur(image, radius)
        if self.color_jitter:
            for place in order:
                image = operate(image, _JITTERED[place], factors[place])
        return image


Policy = LearnedPolicy | RandomPolicy | MixedPolicy | ThreeAugmentPolicy
"""What `data.policy` can be."""
