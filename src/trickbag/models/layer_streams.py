"""A random stream for each layer of a network that draws random numbers in training."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trickbag.models.classifier import Classifier
from trickbag.models.layers.drop import DropPath, SeededDropout
from trickbag.models.layers.seeded import SeededLayer
from trickbag.streams import seed_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LayerStreams"]


class LayerStreams:
    """The layers of a network that draw random numbers, each from a stream of its name.

    So the draws of a layer depend on no other layer: one that is added, taken out, or draws more
    changes nothing for the rest. Dropout and timm's stochastic depth, which use torch's generator,
    are replaced in place by layers of the same mathematics. Three things still use torch's
    generator: layers of other kinds; functions that a network calls without a module, such as the
    dropout in many heads of timm's networks; and layers that the network calls twice in a pass,
    which would draw the same numbers twice.

    Build it when the network is on the device where it is trained. `image_shape` is (3, H, W).
    """

    def __init__(self, network: nn.Module, image_shape: tuple[int, int, int]) -> None:
        replacements = {
            name: seeded
            for name, layer in network.named_modules()
            if (seeded := _seeded(layer, of_timm=not isinstance(network, Classifier))) is not None
        }
        self._layers: list[tuple[str, SeededLayer]] = []
        if not replacements:
            return
        layers = [network.get_submodule(name) for name in replacements]
        once = _called_once(network, layers, image_shape)
        device = next(network.parameters()).device
        for name, seeded in replacements.items():
            layer = network.get_submodule(name)
            if layer not in once:
                continue
            # A network can have one module under more than one name.
            for path, module in list(network.named_modules(remove_duplicate=False)):
                if module is layer and layer is not seeded:
                    network.set_submodule(path, seeded.train(layer.training))
            # A tensor that is filled for each pass: a new number would need a new graph.
            seeded.seed = torch.zeros((), dtype=torch.int64, device=device)
            self._layers.append((name, seeded))

    @property
    def draws(self) -> bool:
        """Whether a layer of the network draws random numbers from its stream."""
        return bool(self._layers)

    def begin(self, seed: int, epoch: int, step: int, part: int) -> None:
        """Set what all layers draw in the next pass, over one part of the effective batch.

        The same call gives the same draws. It does not wait for the device.
        """
        # For what still draws from torch's generator.
        torch.manual_seed(seed_of(seed, f"layers:{part}", epoch, step))
        for name, layer in self._layers:
            assert layer.seed is not None
            layer.seed.fill_(seed_of(seed, f"layer:{name}:{part}", epoch, step))


def _seeded(layer: nn.Module, *, of_timm: bool) -> SeededLayer | None:
    """Return the layer that draws the same from a seed; None for a layer that draws nothing."""
    if isinstance(layer, SeededLayer):
        return layer
    # The types exactly: a subclass can compute something else.
    if type(layer) is nn.Dropout:
        return SeededDropout(layer.p) if layer.p else None
    if of_timm:
        from timm.layers import drop as timm_drop

        # Without `scale_by_keep` timm's layer does not divide what it keeps. Ours always does.
        if type(layer) is timm_drop.DropPath and layer.drop_prob and layer.scale_by_keep:
            return DropPath(layer.drop_prob)
    return None


def _called_once(
    network: nn.Module, layers: Iterable[nn.Module], image_shape: tuple[int, int, int]
) -> set[nn.Module]:
    """Return the layers that a pass of the network calls exactly once, found on shapes alone."""
    calls: Counter[nn.Module] = Counter()

    def count(layer: nn.Module, inputs: object) -> None:
        calls[layer] += 1

    handles = [layer.register_forward_pre_hook(count) for layer in layers]
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes: dict[str, Tensor] = {name: tensor.detach().to("meta") for name, tensor in state.items()}
    training = network.training
    try:
        with torch.no_grad():
            functional_call(network.eval(), shapes, (torch.empty(1, *image_shape, device="meta"),))
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return {layer for layer, times in calls.items() if times == 1}
