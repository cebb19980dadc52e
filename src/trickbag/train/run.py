"""A built run: the network on its device, its optimizer, and the forward pass of a step.

Shapes: N images of a batch, K classes, V further views of each image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from trickbag.functional.batch import Batch
from trickbag.streams import seed_of
from trickbag.train.half_weights import HalfWeights
from trickbag.train.machine.device import autocast, autocast_dtype, in_layout
from trickbag.train.machine.parallel import World
from trickbag.train.running_state import RunningState
from trickbag.train.teachers.online import NoTeacher
from trickbag.tricks.trick import LateAverage

if TYPE_CHECKING:
    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.data.loading.raw_batch import RawBatch
    from trickbag.data.teacher_logits import TeacherLogits
    from trickbag.models.layer_streams import LayerStreams
    from trickbag.models.linear_head import LinearHead
    from trickbag.tasks.task import Forward, Task
    from trickbag.train.phases import Phases
    from trickbag.train.pipeline import Draws, Pipeline
    from trickbag.train.plan.plan import Plan
    from trickbag.tricks.trick import Average, Loss, Timestamp, Trick

__all__ = ["BatchDivision", "Run"]


@dataclass(kw_only=True)
class Run:
    """A plan, built.

    - pipeline: prepares batches on the device.
    - evaluation: how images are prepared for evaluation; it is stored with the weights.
    - autocast_dtype: the type of reduced precision, None for float32.
    - layer_streams: the layers of the network that draw random numbers.
    - head_to_fit: the classifier that is fitted before the first step; None for none.
    - phases: which parts of the network are trained in which epoch.
    - average: averages the network as it is trained, if a trick asks for it.
    - teach: adds the logits of online teachers to a batch. teacher_logits: the cached ones of
      others, which the loader reads with the images.
    - world: the processes that train the run together. This process trains on its rows of an
      effective batch.
    - divisions: how its rows are divided since the memory ran out, the last one last.
    """

    plan: Plan
    tricks: tuple[Trick, ...]
    network: nn.Module
    pipeline: Pipeline
    evaluation: Preprocessing
    loss: Loss
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    device: torch.device
    autocast_dtype: torch.dtype | None
    layer_streams: LayerStreams
    phases: Phases
    head_to_fit: LinearHead | None = None
    average: Average | None = None
    teach: Callable[[Batch], Batch] = NoTeacher()
    teacher_logits: TeacherLogits | None = None
    world: World = field(default_factory=World)
    divisions: tuple[BatchDivision, ...] = ()
    running_state: RunningState = field(init=False, repr=False)
    half_weights: HalfWeights | None = field(init=False, repr=False)
    _step: _StepFunctions = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.half_weights = None
        if self.plan.training.half_weights and self.autocast_dtype is not None:
            self.half_weights = HalfWeights(self.network, self.autocast_dtype)
        step = _StepFunctions(self.forward_raw, self.prepare_fields, self.forward)
        if self.plan.compile:
            # A graph for each size of images and batches: a run has few, see `_image_sizes`.
            compiled = partial(torch.compile, fullgraph=True, dynamic=False)
            step = _StepFunctions(
                compiled(step.forward_raw, mode=self._compile_mode),
                compiled(step.prepare_fields),
                compiled(step.forward),
            )
        self._step = step
        self.running_state = RunningState(self.network)

    @property
    def _compile_mode(self) -> str | None:
        """How the step of a batch in one part is compiled; None as torch does it by itself."""
        # Parts of a batch add up gradients, which a graph's next start would overwrite.
        mode = self.plan.training.compile_mode
        return None if mode == "default" or self.device.type != "cuda" else mode

    @property
    def task(self) -> Task:
        """What the network is trained for."""
        return self.pipeline.task

    @property
    def evaluated_network(self) -> nn.Module:
        """The network that is evaluated and kept: the average, if there is one by now."""
        average = self.average
        if average is None or (isinstance(average, LateAverage) and not average.has_begun):
            return self.network
        return average.network

    def begin_at(self, timestamp: Timestamp) -> None:
        """Take note that the run goes on at a time, with the state of its networks there."""
        if isinstance(self.average, LateAverage):
            self.average.begin_at(timestamp)

    @property
    def eval_dtype(self) -> torch.dtype | None:
        """The type in which networks are evaluated; None for float32."""
        return autocast_dtype(self.plan.training.eval_precision)

    def take_initial_state(self, other: Run) -> None:
        """Become another run that has not begun, whose plan differs in the seed alone.

        What is compiled stays compiled.
        """
        self.plan, self.scaler, self.teacher_logits = other.plan, other.scaler, other.teacher_logits
        self.world, self.divisions = other.world, other.divisions
        networks = [(self.network, other.network)]
        if self.average is not None and other.average is not None:
            networks.append((self.average.network, other.average.network))
        self.begin_at(self.plan.timestamp(0))
        with torch.no_grad():
            for network, other_network in networks:
                for tensor, other_tensor in zip(
                    _state(network), _state(other_network), strict=True
                ):
                    # In place: the optimizer and the compiled graph hold these tensors.
                    tensor.copy_(other_tensor)
        self.optimizer.load_state_dict(other.optimizer.state_dict())
        self.optimizer.zero_grad(set_to_none=True)

    @property
    def rows(self) -> int:
        """The number of this process's rows of a batch."""
        rows = self.world.rows(self.plan.repeats * self.plan.batch_size)
        return int(rows.stop) - int(rows.start)

    @property
    def parts(self) -> int:
        """The micro-batches into which this process's rows of a batch are divided."""
        if not self.divisions:
            return self.plan.training.accumulate
        # More processes than those before can have fewer rows each.
        return min(self.divisions[-1].parts, self.rows)

    def divide(self, division: BatchDivision) -> None:
        """Divide the rows of each batch into more parts from now on."""
        self.divisions = (*self.divisions, division)
        if self.plan.compile:
            # Graphs of the larger parts hold memory, and there can be so many graphs alone.
            torch._dynamo.reset()

    def begin_epoch(self, epoch: int) -> None:
        """Prepare the network for the training of an epoch, counted from 0."""
        self.phases.begin_epoch(self.network, epoch)

    def draw(self, timestamp: Timestamp) -> Draws:
        """Draw the random numbers of an effective batch: those that this process needs.

        That is all of them if images are mixed, else those of its rows.
        """
        n = self.plan.repeats * self.plan.batch_size
        rows = None if self.pipeline.mixes else self.world.rows(n)
        return self.pipeline.draw(n, self.plan.seed, timestamp, self.device, rows)

    def gather(self, raw: RawBatch) -> RawBatch:
        """Return the images that this process needs, from those of its rows, on the device.

        That is the whole effective batch if images are mixed: partners can be in other processes.
        """
        if not self.pipeline.mixes:
            return raw
        return self.world.all_gather_rows(raw, self.plan.repeats * self.plan.batch_size)

    def prepare(self, raw: RawBatch, draws: Draws) -> Batch:
        """Return this process's rows of an effective batch, as the network sees them."""
        batch = self.pipeline(raw, draws)
        if not self.pipeline.mixes:
            return batch
        return _rows(batch, self.world.rows(len(batch.images)))

    def prepare_fields(self, raw: RawBatch, draws: Draws) -> tuple[Any, ...]:
        """Return the fields of the batch that `prepare` returns."""
        # torch 2.11 returns a plain tuple in place of a named one from what it compiled.
        return tuple(self.prepare(raw, draws))

    def autocast(self) -> torch.autocast:
        """Return the context of the run's precision."""
        return autocast(self.device, self.autocast_dtype)

    def in_layout(self, images_NCHW: Tensor) -> Tensor:
        """Return images in the run's memory layout."""
        return in_layout(images_NCHW, self.plan.layout)

    def forward(self, batch: Batch) -> Forward:
        """Return loss, outputs and targets of a batch."""
        return self.task.forward(self, self.teach(batch))

    def outputs(self, images_NCHW: Tensor) -> Any:
        """Return what the network makes of images, with the weights that the step computes with."""
        if self.half_weights is None:
            return self.network(images_NCHW)
        return self.half_weights(images_NCHW)

    @property
    def auxiliary_weight(self) -> float:
        """The weight of the loss of the network's auxiliary head."""
        return getattr(self.plan.model, "auxiliary_weight", None) or 0.0

    def forward_raw(self, raw: RawBatch, draws: Draws) -> Forward:
        """Return what `forward` does of a batch of bytes: what is compiled to one graph."""
        return self.forward(self.prepare(raw, draws))

    def _begin(self, seed: int, epoch: int, step: int, part: int) -> None:
        """Set what the network draws in the next pass, over one part of the effective batch."""
        self.layer_streams.begin(seed, epoch, step, part)
        self.task.begin(self.network, seed_of(seed, f"task:{part}", epoch, step))

    def forward_micro_batches(
        self, raw: RawBatch, draws: Draws, timestamp: Timestamp
    ) -> Iterator[Forward]:
        """Yield loss, outputs and targets of each micro-batch of this process's rows.

        There are `parts` of them. The effective batch is prepared as a whole, then
        divided, so that its random parameters and mixing partners do not depend on the division.
        """
        parts = self.parts
        place = self.plan.seed, timestamp.epoch, timestamp.step
        # Layers draw for each micro-batch of the effective batch, whichever process computes it.
        first = self.world.rank * parts
        if parts == 1:
            self._begin(*place, part=first)
            yield self._step.forward_raw(raw, draws)
            return
        batch = Batch(*self._step.prepare_fields(raw, draws))
        # `tensor_split` always gives so many parts; `chunk` can give fewer.
        divided = torch.arange(len(batch.images)).tensor_split(parts)
        for part, rows in enumerate(divided, first):
            self._begin(*place, part=part)
            yield self._step.forward(_rows(batch, slice(int(rows[0]), int(rows[-1]) + 1)))


class BatchDivision(NamedTuple):
    """The parts of each batch of a process from a step of the run on, counted from 0."""

    step: int
    parts: int


class _StepFunctions(NamedTuple):
    """The functions of a step, compiled if the plan says so."""

    forward_raw: Callable[[RawBatch, Draws], Forward]
    prepare_fields: Callable[[RawBatch, Draws], tuple[Any, ...]]
    forward: Callable[[Batch], Forward]


def _state(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def _rows(batch: Batch, rows: slice) -> Batch:
    """Return some rows of a batch."""
    batch = batch.map_labels(lambda values: values[rows])
    return batch._replace(
        images=batch.images[rows],
        index=batch.index[rows],
        extents=None if batch.extents is None else batch.extents[rows],
        views=None if batch.views is None else batch.views[rows],
        # A view of the whole batch's images, which nobody may change in place.
        owned=False,
    )
