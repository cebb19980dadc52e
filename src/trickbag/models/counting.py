"""Size and work of a network: parameters and multiply-adds."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from trickbag.data.size import Size, height_width

__all__ = ["count_macs", "count_params"]


def count_params(network: nn.Module) -> int:
    """Count the parameters of a network, frozen ones included, running statistics excluded.

    Those of an auxiliary head, which takes part in training alone, do not count: what is counted is
    the network that predicts, as in published figures.
    """
    auxiliary = getattr(network, "auxiliary", None)
    excluded = set(auxiliary.parameters()) if isinstance(auxiliary, nn.Module) else set()
    return sum(p.numel() for p in network.parameters() if p not in excluded)


def count_macs(network: nn.Module, image_size: Size, in_channels: int = 3) -> int:
    """Count the multiply-adds of one image: of `image_size` pixels a side, or height and width.

    They are those of convolutions and matrix products, without normalisation, activation and
    pooling; the papers call them FLOPs. Nothing is computed: the network runs on shapes alone, in
    evaluation mode, on whatever device its weights are. It is left unchanged.
    """
    # Each module's own mode: a network in training can have frozen parts in evaluation mode.
    modes = [(module, module.training) for module in network.modules()]
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {name: tensor.detach().to("meta") for name, tensor in state.items()}
    dtype = next(
        (tensor.dtype for tensor in shapes.values() if tensor.is_floating_point()),
        torch.get_default_dtype(),
    )
    shape = (1, in_channels, *height_width(image_size))
    image = torch.empty(shape, dtype=dtype, device="meta")
    # In training mode a normalisation refuses a map of one pixel of a single image.
    network.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            functional_call(network, shapes, (image,))
    finally:
        for module, training in modes:
            module.training = training
    # The counter takes a multiply-add for two operations.
    return int(counter.get_total_flops()) // 2
