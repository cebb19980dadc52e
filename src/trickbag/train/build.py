"""Build what a plan says: the only caller of the tricks' object hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trickbag.data.dataset import Dataset
from trickbag.data.loading.loader import RawBatch
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.teacher_logits import TeacherLogits
from trickbag.errors import Note, UserError
from trickbag.models.gradient_checkpointing import enable_gradient_checkpointing
from trickbag.models.layer_streams import LayerStreams
from trickbag.models.pretrained import load_pretrained
from trickbag.models.weights import load_weights
from trickbag.models.zoo import build_network, layer_groups
from trickbag.optim.losses import BinaryCrossEntropy, CrossEntropy
from trickbag.train.machine.device import autocast_dtype, placed
from trickbag.train.machine.parallel import World
from trickbag.train.machine.small_maps import pad_small_maps
from trickbag.train.pipeline import Draws, Pipeline
from trickbag.train.plan import Plan
from trickbag.train.teachers.cached import OnProgress, cached_logits
from trickbag.train.teachers.online import NoTeacher, OnlineTeachers
from trickbag.train.teachers.student import student_of, teacher_notes
from trickbag.tricks.trick import Average, Batch, Loss, NoEffect, Timestamp, Trick

__all__ = ["Run", "build", "build_loss"]


@dataclass
class Run:
    """A plan, built: the network on its device with its optimizer, and the functions of a step.

    Of an effective batch the run trains on the rows of its process in `world`. `evaluation` is how
    images are prepared for it when nothing is random; it is stored with its weights. `layers` are
    those of the network that draw random numbers. `average` averages the network as it is trained,
    where a trick asks for that.
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
    autocast: torch.dtype | None
    layers: LayerStreams
    average: Average | None = None
    teach: Callable[[Batch], Batch] = NoTeacher()
    teacher_logits: TeacherLogits | None = None
    world: World = field(default_factory=World)
    _whole: Callable[[RawBatch, Draws], tuple[Tensor, Tensor, Tensor]] = field(
        init=False, repr=False
    )
    _prepare: Callable[[RawBatch, Draws], tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]] = field(
        init=False, repr=False
    )
    _forward: Callable[[Batch], tuple[Tensor, Tensor, Tensor]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
            return (
                torch.compile(function, fullgraph=True, dynamic=False)
                if self.plan.compile
                else function
            )

        self._whole = compiled(self.whole)
        self._prepare = compiled(self.prepare)
        self._forward = compiled(self.forward)

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated and kept: the average where there is one, else the trained
        one."""
        return self.network if self.average is None else self.average.network

    def start_as(self, other: Run) -> None:
        """Take the state of a run of the same plan but for its seed, which has not begun; what is
        compiled stays."""
        self.plan, self.scaler, self.teacher_logits = other.plan, other.scaler, other.teacher_logits
        self.world = other.world
        with torch.no_grad():
            for mine, theirs in ((self.network, other.network), (self.evaluated, other.evaluated)):
                own, new = (
                    [*network.parameters(), *network.buffers()] for network in (mine, theirs)
                )
                for value, other_value in zip(own, new, strict=True):
                    value.copy_(other_value)
        self.optimizer.load_state_dict(other.optimizer.state_dict())
        self.optimizer.zero_grad(set_to_none=True)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss (a scalar, the mean over the rows), logits (N, K) float32 and targets (N,
        K) of a batch."""
        batch = self.teach(batch)
        images, views = batch.images, batch.views
        if (
            views is not None
        ):  # one pass for all views: the statistics of BatchNorm are theirs together
            images = torch.cat([images, views.flatten(0, 1)])
            if self.plan.layout == "channels_last":
                images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(
            self.device.type, dtype=self.autocast, enabled=self.autocast is not None
        ):
            logits = self.network(images)
        logits = logits.float()
        if views is not None:
            logits, others = (
                logits[: len(views)],
                logits[len(views) :].unflatten(0, views.shape[:2]),
            )
            batch = batch._replace(view_logits=others)
        return self.loss(logits, batch), logits.detach(), batch.targets

    def draw(self, timestamp: Timestamp) -> Draws:
        """Draw an effective batch's random numbers; return all where images are mixed, else those
        of the own rows."""
        n = self.plan.repeats * self.plan.batch_size
        rows = None if self.pipeline.mixes else self.world.rows(n)
        return self.pipeline.draw(n, self.plan.seed, timestamp, self.device, rows)

    def gather(self, raw: RawBatch) -> RawBatch:
        """Return all that the own rows need, from these rows on the device: where images are mixed
        the whole batch."""
        return (
            self.world.all_gather_rows(raw, self.plan.repeats * self.plan.batch_size)
            if self.pipeline.mixes
            else raw
        )

    def own(self, raw: RawBatch, draws: Draws) -> Batch:
        """Return the own rows of the effective batch as the network sees them."""
        batch = self.pipeline(raw, draws)
        return (
            batch_rows(batch, self.world.rows(len(batch.images))) if self.pipeline.mixes else batch
        )

    def prepare(self, raw: RawBatch, draws: Draws) -> tuple[Any, ...]:
        """Return the fields of what `own` does as a plain tuple: torch 2.11 loses a named one when
        compiled."""
        return tuple(self.own(raw, draws))

    def whole(self, raw: RawBatch, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `forward` does, from the bytes of the images on: the function that is
        compiled as one graph."""
        return self.forward(self.own(raw, draws))

    def parts(
        self, raw: RawBatch, draws: Draws, timestamp: Timestamp
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield loss, logits and targets of each of the `accumulate` parts of the own rows of an effective batch.

        Random parameters and mixing partners are drawn over the effective batch, which is prepared
        once, then sliced. Layers draw for each part of the effective batch, whichever process
        computes it.
        """
        accumulate = self.plan.training.accumulate
        place = self.plan.seed, timestamp.epoch, timestamp.step
        first = self.world.rank * accumulate
        if accumulate == 1:
            self.layers.begin(*place, part=first)
            yield self._whole(raw, draws)
            return
        batch = Batch(*self._prepare(raw, draws))
        for part, rows in enumerate(
            torch.arange(len(batch.images)).tensor_split(accumulate), first
        ):
            self.layers.begin(*place, part=part)
            yield self._forward(batch_rows(batch, slice(int(rows[0]), int(rows[-1]) + 1)))


def batch_rows(batch: Batch, rows: slice) -> Batch:
    """Return some rows of a batch."""
    some = batch.map_labels(lambda values: values[rows])
    return some._replace(
        images=batch.images[rows],
        index=batch.index[rows],
        views=None if batch.views is None else batch.views[rows],
        owned=False,
    )


def build(
    plan: Plan,
    tricks: tuple[Trick, ...],
    dataset: Dataset | None = None,
    on_progress: OnProgress | None = None,
    world: World | None = None,
) -> tuple[Run, list[Note]]:
    """Build the network, optimizer and step of a plan; return them and what a user should know.

    A trick that learns from other networks needs the `dataset`; `on_progress(done, total)` is
    called while they are asked about its images once for all. `world` are the processes that train
    the run together, None for this one alone. Raises DoesNotApply where a trick cannot work on the
    network, and UserError where weights cannot be loaded or the network does not take the images.
    """
    notes: list[Note] = []
    device = torch.device(plan.device)
    network = build_network(plan.model, seed=plan.seed)
    sizes = _sizes(plan, tricks)
    _check_shapes(network, plan, sizes)
    if plan.training.gradient_checkpointing:
        enable_gradient_checkpointing(network)
    for trick in tricks:
        try:
            trick.network(network)
        except NoEffect as none:
            notes.append(Note("no_effect", trick.name, none.reason))
    loaded = plan.training.init or plan.training.pretrained
    if plan.training.init:
        notes += load_weights(network, Path(plan.training.init))
    elif plan.training.pretrained:
        notes += load_pretrained(network, plan.model)
    if loaded:
        notes += [
            Note("no_effect", trick.name, "the weights come from a file")
            for trick in tricks
            if trick.overrides("network")
        ]
    network = placed(network, device, plan.layout)
    if plan.device == "cpu" and plan.precision == "bf16":
        pad_small_maps(network)
    groups, group_notes = _param_groups(plan, tricks, network)
    student, answers = student_of(tricks), None
    teach: Callable[[Batch], Batch] = NoTeacher()
    if student is not None:
        if dataset is None:
            raise ValueError(
                f"{student.trick.name} learns from other networks: build needs the data set"
            )
        notes += teacher_notes(student, plan, tricks)
        if student.spec.view == "online":
            teach = OnlineTeachers.of(student, plan, dataset)
        else:
            answers = cached_logits(student, plan, dataset, on_progress)
    fused = plan.training.optimizer.kind != "rmsprop"
    average = _average(tricks, network)
    run = Run(
        plan=plan,
        tricks=tricks,
        network=network,
        pipeline=Pipeline(
            num_classes=plan.model.num_classes,
            preprocessing=Preprocessing.of(plan.data, plan.image_size),
            flip_prob=plan.flip_prob,
            tricks=tricks,
            layout=plan.layout,
            class_weights=torch.tensor(plan.class_weights, device=device)
            if plan.class_weights is not None
            else None,
            taught=student.trick if student is not None and answers is not None else None,
        ),
        evaluation=Preprocessing.for_evaluation(plan.data, plan.image_size),
        loss=build_loss(plan, tricks),
        optimizer=plan.training.optimizer(groups, plan.training.lr, fused=fused),
        scaler=torch.amp.GradScaler(plan.device, enabled=plan.precision == "fp16"),
        device=device,
        autocast=autocast_dtype(plan.precision),
        # After the average was made, which draws nothing.
        layers=LayerStreams(network, (3, plan.image_size, plan.image_size)),
        average=average,
        teach=teach,
        teacher_logits=answers,
        world=world or World(),
    )
    return run, notes + group_notes


def _average(tricks: tuple[Trick, ...], network: nn.Module) -> Average | None:
    made = {
        trick.name: average for trick in tricks if (average := trick.average(network)) is not None
    }
    if len(made) > 1:
        raise UserError(
            f"{' and '.join(made)} each average the weights: a run has one average; take one out"
        )
    return next(iter(made.values()), None)


def build_loss(plan: Plan, tricks: tuple[Trick, ...]) -> Loss:
    """Build the loss: first what replaces it, then a teacher's, then what wraps it.

    So a teacher's share is of the loss of the labels alone, wherever distillation stands among the
    tricks.
    """
    loss: Loss = BinaryCrossEntropy() if plan.data.multi_label else CrossEntropy()
    for trick in tricks:
        if trick.slot == "loss":
            loss = trick.loss(loss)
    for trick in sorted(tricks, key=lambda trick: trick.slot != "teacher"):
        if trick.slot != "loss":
            loss = trick.loss(loss)
    return loss


def _sizes(plan: Plan, tricks: tuple[Trick, ...]) -> list[int]:
    """Return the image sizes of all epochs, smallest first; UserError where they are more than can
    be compiled."""
    every = plan.data_by_epoch(tricks)
    sizes = sorted({data.image_size for data in every if data.image_size})
    # A graph for each size, and for each size of a part of the batch.
    graphs = len(sizes) * (2 if plan.batch_size % plan.training.accumulate else 1)
    limit: int = torch._dynamo.config.recompile_limit
    if plan.compile and graphs > limit:
        raise UserError(
            f"the run has images of {len(sizes)} sizes, for which {graphs} graphs would be "
            f"compiled, of {limit} that "
            "can be; take fewer (progressive_resizing.stages), or --set training.compile=off"
        )
    return sizes


def _check_shapes(network: nn.Module, plan: Plan, sizes: list[int]) -> None:
    """Raise UserError where the network cannot take images of the run's sizes in batches of the run's size.

    Nothing is computed: the smallest part of a batch goes through on shapes alone.
    """
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {name: tensor.detach().to("meta") for name, tensor in state.items()}

    def check(rows: int, size: int, task: str, way_out: str) -> None:
        try:
            with torch.no_grad():
                functional_call(network, shapes, (torch.empty(rows, 3, size, size, device="meta"),))
        except Exception as error:  # every network refuses in its own way
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            images = f"{rows} images of 3x{size}x{size} at a time"
            raise UserError(
                f"the network cannot {task} {images}: {reason}; choose another {way_out}"
            ) from error

    evaluated = Preprocessing.for_evaluation(plan.data, plan.image_size).image_size
    if evaluated != plan.image_size:
        network.eval()
        check(
            1,
            evaluated,
            "evaluate",
            "data.eval_ratio (1 is the size of training images), --image-size or --model",
        )
    network.train()
    rows = plan.batch_size // (plan.training.accumulate * plan.processes)
    for size in sizes:
        check(rows, size, "be trained on", "--image-size, --batch-size or --model")


def _param_groups(
    plan: Plan, tricks: tuple[Trick, ...], network: nn.Module
) -> tuple[list[dict[str, Any]], list[Note]]:
    decay, training = plan.training.layer_decay, plan.training
    layers = layer_groups(network) if decay < 1 else [list(network.parameters())]
    groups: list[dict[str, Any]] = [
        {
            "params": params,
            "weight_decay": training.weight_decay,
            "lr_scale": decay ** (len(layers) - 1 - i),
        }
        for i, params in enumerate(layers)
    ]
    notes: list[Note] = []
    for trick in tricks:
        try:
            groups = trick.param_groups(groups, network)
        except NoEffect as none:
            notes.append(Note("no_effect", trick.name, none.reason))
    return [group for group in groups if group["params"]], notes
