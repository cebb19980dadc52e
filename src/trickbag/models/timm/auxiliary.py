"""The auxiliary classifier of Inception-V3, which takes part in training alone.

Szegedy et al. 2016 (arXiv 1512.00567, section 4) train it beside the main one, on the last map of
17 x 17 pixels. timm builds it on request, and then returns its logits in evaluation too.
"""

from __future__ import annotations

from timm.models.inception_v3 import InceptionV3
from torch import nn

__all__ = ["AuxiliaryInception"]


class AuxiliaryInception(InceptionV3):
    """timm's Inception-V3 with its auxiliary head.

    In training it returns the logits (N, K) and those of the auxiliary head, (N, K); in evaluation
    the logits alone, and the auxiliary head is not computed.
    """

    @property
    def aux_logits(self) -> bool:
        """Whether timm's forward pass computes the auxiliary head."""
        return self.training

    @property
    def auxiliary(self) -> nn.Module:
        """The auxiliary head."""
        head: nn.Module = self.AuxLogits
        return head
