"""Write a trained network to a file, after a check that the file gives the network's own logits.

Shapes: N images, K classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from trickbag.errors import RunFailed
from trickbag.export.accuracy import PrecisionScores, precision_scores
from trickbag.export.graph import Difference, computation_of
from trickbag.files import replacing
from trickbag.train.machine.device import placed

if TYPE_CHECKING:
    from trickbag.evaluate.trained import Trained
    from trickbag.export.format import Format, ReadBack
    from trickbag.export.graph import Computation, Inputs

__all__ = ["TOLERANCE", "Exported", "export"]

TOLERANCE = 1e-4
"""The largest difference of a logit that counts as rounding, as a share of the largest logit."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file that was written, and the check that it passed.

    `size` is in bytes. `checked` says on which images; `difference` is the largest difference of a
    logit, `largest` the largest absolute logit. Of a detector it is that of a score, or of an edge
    as a share of the canvas. `compared` names what was compared. `scores` compare float32, in which
    the file computes, with the precisions of the run; None if there is nothing to compare.
    """

    path: Path
    format: str
    size: int
    checked: str
    difference: float
    largest: float
    scores: PrecisionScores | None = None
    compared: str = "logit"


def export(trained: Trained, path: Path | str, form: Format) -> Exported:
    """Write a trained network to a file in a format; a file that was there is replaced.

    The file appears whole or not at all. Before that, its bytes are read as another program would
    read them, and compute the logits of all images at once, and of one alone; these must be the
    logits of the network in float32 on the CPU, divided by the temperature of the weights where the
    format is a graph. Raises RunFailed if they are not finite or differ
    by more than TOLERANCE, or if the file cannot be written, and UserError if a package is missing.
    Nothing is then written.
    """
    form.require()
    path = Path(path)
    # Of a copy, because `float()` and a change of device change the module itself.
    network = placed(
        copy.deepcopy(trained.network).float().eval(), torch.device("cpu"), "contiguous"
    )
    computation = computation_of(trained)
    graph = computation.graph(network, trained)
    if form.is_graph and trained.temperature is not None:
        graph = replace(graph, module=_Divided(network, trained.temperature).eval())
    data = form.encode(graph, trained.metadata)
    calls, checked = computation.checks(trained)
    decoded = form.decode(data)
    if isinstance(decoded, nn.Module) and not form.is_graph:
        decoded = computation.module(decoded)
    difference, largest = _difference(computation, decoded, graph.module, calls)
    if not math.isfinite(largest):
        raise RunFailed(
            f"the network's own {computation.outputs} are not finite on {checked}; nothing was "
            "written"
        )
    if not difference <= TOLERANCE * largest:  # not >, which is false of NaN
        raise RunFailed(
            f"the network in {form.name} is not the same: on {checked} its {computation.outputs} "
            f"differ by up to {difference:.3g}, the largest being {largest:.3g}; nothing was "
            "written",
            "try another --format",
        )
    with replacing(path) as file:
        file.write(data)
    return Exported(
        path=path,
        format=form.name,
        size=len(data),
        checked=checked,
        difference=difference,
        largest=largest,
        scores=precision_scores(trained),
        compared=computation.compared,
    )


class _Divided(nn.Module):
    """A network whose logits (N, K) are divided by a temperature, so that a softmax calibrates."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return the logits of normalised images (N, C, H, W)."""
        logits_NK: Tensor = self.network(images_NCHW)
        return logits_NK / self.temperature


def _difference(
    computation: Computation, actual: ReadBack, expected: nn.Module, calls: list[Inputs]
) -> Difference:
    """Return the largest difference of an output in all calls, and the largest output."""
    differences = []
    with torch.inference_mode():
        for inputs in calls:
            outputs = [_listed(function(*inputs)) for function in (actual, expected)]
            differences.append(computation.difference(*outputs))
    values, largest = torch.tensor(differences, dtype=torch.float64).unbind(dim=1)
    # Python's max() would take a number over NaN.
    value = float(values.sum()) if values.isnan().any() else float(values.max())
    return Difference(value, float(largest.sum() if largest.isnan().any() else largest.max()))


def _listed(outputs: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)
