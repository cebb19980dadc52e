"""PCA noise: shift the colour of each image along the principal axes of ImageNet's colours.

Shapes: N images of a batch, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.ranges import Positive
from trickbag.tricks.trick import START, Batch, Phase, Timestamp, Trick

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

__all__ = ["EIGENVALUES", "EIGENVECTORS", "PCANoise", "add_pca_noise"]

EIGENVALUES = (55.46, 4.794, 1.148)
"""Eigenvalues of the covariance of ImageNet's pixels, on the scale from 0 to 255."""

EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
"""Principal axes in the columns; the rows are red, green and blue."""


def add_pca_noise(images_N3HW: Tensor, alphas_N3: Tensor) -> Tensor:
    """Add `E diag(eigenvalues) a` to every pixel of image i, with a = `alphas_N3[i]`.

    The images are RGB from 0 to 255. The result is not clamped. Source: Krizhevsky et al. 2012,
    section 4.1; the constants are those of MXNet.
    """
    import torch

    alphas = alphas_N3.to(images_N3HW.dtype)
    axes = [alphas[:, i] * value for i, value in enumerate(EIGENVALUES)]
    # Python numbers, because a tensor of constants would be copied to the device at every step.
    shifts = [row[0] * axes[0] + row[1] * axes[1] + row[2] * axes[2] for row in EIGENVECTORS]
    return images_N3HW + torch.stack(shifts, dim=1)[:, :, None, None]


@dataclass(frozen=True, kw_only=True)
class PCANoise(Trick):
    """Shift the colour of each image along the principal axes of ImageNet's colours, as AlexNet."""

    name: ClassVar[str] = "pca_noise"
    phase: ClassVar[Phase] = "noise"
    paper: ClassVar[str] = "He et al. 2018, arXiv 1812.01187, section 2.1; Krizhevsky et al. 2012"
    needs_rgb: ClassVar[bool] = True

    std: Annotated[float, Positive] = 0.1

    def draw(
        self, n: int, rng: np.random.Generator, timestamp: Timestamp = START
    ) -> tuple[np.ndarray, ...]:
        """Draw the shift of each image along the three axes, N(0, std): (n, 3) float32."""
        return (rng.normal(0.0, self.std, size=(n, 3)).astype("float32"),)

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Shift the colour of each image."""
        return batch._replace(images=add_pca_noise(batch.images, *draw))
