"""Batch normalisations that would see a single value a channel, which has no variance.

That is so where a micro-batch is one image and a map is one pixel: behind the mean over an image
(selective kernels, DeepLabV3's image pooling), or at the end of a network whose images are small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from trickbag.data.size import height_width, scaled
from trickbag.errors import UserError
from trickbag.models.summary import display_name
from trickbag.train.phases import Phases

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

    from trickbag.data.size import Size
    from trickbag.train.plan.plan import Plan

__all__ = ["micro_batch", "require_variances", "single_value_norms"]


def micro_batch(plan: Plan) -> int:
    """Return the images of the smallest micro-batch."""
    return plan.batch_size // (plan.training.accumulate * plan.processes)


def normalised_images(plan: Plan) -> int:
    """Return the images of which a batch normalisation takes its statistics, at least."""
    if plan.training.sync_batch_norm:
        return plan.batch_size // plan.training.accumulate
    return micro_batch(plan)


def single_value_norms(network: nn.Module, images_NCHW: Tensor) -> list[str]:
    """Name the batch normalisations that compute a variance of one value for each channel.

    Those count that are in training mode. Nothing is computed: images of this shape go through the
    network on shapes alone. What the network raises is not caught.
    """
    singles: dict[str, None] = {}
    handles = []

    def watch(name: str, norm: _BatchNorm) -> None:
        def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            values = inputs[0].numel() // inputs[0].shape[1]
            if module.training and values == 1:
                singles[name] = None
                module.training = False  # else it raises, and those behind it are not reached

        handles.append(norm.register_forward_pre_hook(note))

    modes = [(module, module.training) for module in network.modules()]
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm):
            watch(name, module)
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {name: tensor.detach().to("meta") for name, tensor in state.items()}
    try:
        with torch.no_grad():
            functional_call(network, shapes, (images_NCHW.to("meta"),))
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    return list(singles)


def require_variances(network: nn.Module, plan: Plan, sizes: Iterable[Size]) -> None:
    """Raise UserError if a batch normalisation that a run trains would see one value a channel.

    `network` is that of the task, with the weights that it starts from. `sizes` are those of the
    images of all epochs. Those normalisations do not count that the run keeps as they are.
    """
    if normalised_images(plan) > 1 or plan.training.probe is not None:
        return
    gradients = [(p, p.requires_grad) for p in network.parameters()]
    # No epoch trains more parts than the last.
    last = max(0, plan.training.epochs - 1)
    Phases.of(network, plan.training).begin_epoch(network, last)
    try:
        for size in sizes:
            singles = single_value_norms(network, _image(plan, size))
            if singles:
                larger = not single_value_norms(network, _image(plan, scaled(size, 2)))
                raise _refusal(plan, singles, larger=larger)
    finally:
        for parameter, has_gradient in gradients:
            parameter.requires_grad_(has_gradient)
        network.train()


def _image(plan: Plan, size: Size) -> Tensor:
    return torch.empty(1, plan.data.pixels.count, *height_width(size), device="meta")


def _refusal(plan: Plan, singles: list[str], *, larger: bool) -> UserError:
    """Say why one image at a time is too few; `larger`: images of twice the size would do."""
    accumulate, processes = plan.training.accumulate, plan.processes
    parts = f" in {accumulate} parts (training.accumulate)" if accumulate > 1 else ""
    shared = f" on {processes} processes" if processes > 1 else ""
    more = f" and {len(singles) - 1} more" if len(singles) > 1 else ""
    ways = [f"--batch-size {2 * accumulate * processes} or more"]
    ways += ["a smaller training.accumulate"] if accumulate > 1 else []
    if processes > 1:
        ways += ["fewer processes", "--set training.sync_batch_norm=true"]
    ways += ["a larger --image-size"] if larger else []
    if plan.training.init or plan.training.pretrained:
        ways.append("--set training.batch_norm=frozen")
    listed = " or ".join([", ".join(ways[:-1]), ways[-1]] if len(ways) > 1 else ways)
    return UserError(
        f"{display_name(plan.model)} cannot be trained on one image at a time, which is what a "
        f"batch of {plan.batch_size}{parts}{shared} comes to: its BatchNorm {singles[0]}{more} "
        "would see one value a channel, which has no variance",
        f"choose {listed}",
    )
