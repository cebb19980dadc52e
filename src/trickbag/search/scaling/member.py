"""What is known of a member of a scaled family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.settings import plain

if TYPE_CHECKING:
    from trickbag.data.size import Size
    from trickbag.models.scaling import Factors

__all__ = ["Member"]


@dataclass(frozen=True, kw_only=True)
class Member:
    """A member of a family, at an exponent `phi`; 0 is the base network.

    `params` and `macs` are numbers of parameters and of multiply-adds of an image. `throughput` is
    that of prediction, in images/s; None if it was not measured.
    """

    phi: float
    factors: Factors
    image_size: Size
    params: int
    macs: int
    throughput: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the member as plain data; an image size that is no square is a list."""
        return {
            "phi": self.phi,
            **vars(self.factors),
            "image_size": plain(self.image_size),
            "params": self.params,
            "macs": self.macs,
            "throughput": self.throughput,
        }
