"""The linear layer at the end of a network, and the pooled features that go into it.

Shapes: N images, D features, K classes, H heads of a network that averages several.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trickbag.errors import UserError
from trickbag.models.summary import display_name
from trickbag.models.transfer import head_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trickbag.models.config import ModelConfig

__all__ = ["LinearHead"]

_WAY_OUT = "choose a network whose logits come from one linear layer on pooled features"

_TOLERANCE = 1e-2
"""How far logits may lie from those of the linear layer, as a share of the largest."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearHead:
    """The linear layers from which the logits of a network come, and what goes into them.

    `layers` are one linear layer, or a 1 x 1 convolution on one pixel. A distilled vision
    transformer has two, of a token each, and its logits are their mean: its features are then
    those of both, one behind the other.
    """

    network: nn.Module
    layers: tuple[nn.Module, ...]
    sizes: tuple[int, ...]
    names: frozenset[str]

    @classmethod
    def of(cls, network: nn.Module, config: ModelConfig) -> LinearHead:
        """Find the linear layers of a network that `config` has built.

        They are known by their shapes: those that depend on the number of classes. Raises
        UserError for a network whose classifier is of another form.
        """
        names = head_names(network, config)
        owners = sorted({name.rpartition(".")[0] for name in names})
        name = display_name(config)
        if not owners:
            raise UserError(f"{name} has no classifier", _WAY_OUT)
        layers = tuple(network.get_submodule(owner) for owner in owners)
        for owner, layer in zip(owners, layers, strict=True):
            if not _is_linear(layer) or getattr(layer, "bias", None) is None:
                raise UserError(
                    f"the classifier of {name} is no linear layer with a bias: {owner} is a "
                    f"{type(layer).__name__}",
                    _WAY_OUT,
                )
        sizes = tuple(int(_weight(layer).shape[1]) for layer in layers)
        return cls(network=network, layers=layers, sizes=sizes, names=names)

    @property
    def num_features(self) -> int:
        """The number of features D."""
        return sum(self.sizes)

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features (N, D) of normalised images, and the network's logits (N, K).

        Raises UserError if the logits are not those of the linear layers on these features.
        """
        inputs: dict[int, Tensor] = {}

        def keep(place: int) -> Any:
            def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
                inputs[place] = args[0]

            return hook

        handles = [
            layer.register_forward_pre_hook(keep(place)) for place, layer in enumerate(self.layers)
        ]
        try:
            logits_NK = self.network(images_NCHW)
        finally:
            for handle in handles:
                handle.remove()
        features_ND = self._joined(inputs, len(images_NCHW))
        self._require_linear(features_ND, logits_NK)
        return features_ND, logits_NK

    def logits(self, features_ND: Tensor) -> Tensor:
        """Return the logits (N, K) that the network gives for features (N, D)."""
        logits = []
        for layer, features in zip(
            self.layers, torch.split(features_ND, list(self.sizes), dim=1), strict=True
        ):
            pixels = features[:, :, None, None] if isinstance(layer, nn.Conv2d) else features
            logits.append(layer(pixels).flatten(1))
        return logits[0] if len(logits) == 1 else torch.stack(logits).mean(dim=0)

    def write(self, weight_KD: Tensor, bias_K: Tensor) -> None:
        """Give the linear layers weights and bias."""
        parts = torch.split(weight_KD, list(self.sizes), dim=1)
        with torch.no_grad():
            for layer, part in zip(self.layers, parts, strict=True):
                weight = _weight(layer)
                # The logits are a mean, so that each layer has all of the bias.
                weight.copy_((len(self.layers) * part).reshape(weight.shape))
                _bias(layer).copy_(bias_K)

    def body_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the tensors of the network's state by name, without those of the linear layers."""
        for name, tensor in self.network.state_dict().items():
            if name not in self.names:
                yield name, tensor

    def _joined(self, inputs: dict[int, Tensor], images: int) -> Tensor:
        parts = []
        for place, size in enumerate(self.sizes):
            features = inputs.get(place)
            if features is None or features.numel() != images * size:
                shape = "nothing" if features is None else f"{tuple(features.shape)}"
                raise self._refusal(f"its classifier takes {shape}, and no {size} pooled features")
            parts.append(features.reshape(images, size))
        return torch.cat(parts, dim=1)

    def _require_linear(self, features_ND: Tensor, logits_NK: Any) -> None:
        expected = self.logits(features_ND)
        if not isinstance(logits_NK, Tensor) or logits_NK.shape != expected.shape:
            raise self._refusal("it returns more than the logits of its classifier")
        scale = expected.float().abs().amax().clamp(min=1e-6)
        difference = (logits_NK.float() - expected.float()).abs().amax()
        # What is not finite is reported where all images are known.
        if bool(difference > _TOLERANCE * scale):
            raise self._refusal("its logits are not those of its last linear layer")

    def _refusal(self, reason: str) -> UserError:
        return UserError(
            f"{type(self.network).__name__} has no linear classifier: {reason}", _WAY_OUT
        )


def _is_linear(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        return layer.kernel_size == (1, 1) and layer.groups == 1
    return isinstance(layer, nn.Linear)


def _weight(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


def _bias(layer: nn.Module) -> Tensor:
    bias = layer.bias
    assert isinstance(bias, Tensor)
    return bias
