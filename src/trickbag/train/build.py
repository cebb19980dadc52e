"""Build a run from its plan: the only caller of the tricks' object hooks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.size import height_width, number_of_pixels, size_text, sizes_text
from trickbag.errors import Note, UserError, first_line
from trickbag.models.gradient_checkpointing import enable_gradient_checkpointing
from trickbag.models.image_size import made_for_size
from trickbag.models.layer_streams import LayerStreams
from trickbag.models.linear_head import LinearHead
from trickbag.models.pretrained import load_pretrained, published_id
from trickbag.models.stages import stage_groups
from trickbag.models.summary import display_name
from trickbag.models.task_network import (
    backbone_of,
    build_task_network,
    keep_loaded,
    network_notes,
)
from trickbag.models.transfer import init_seed
from trickbag.models.weights import load_weights, weights_digest
from trickbag.models.zoo import layer_groups
from trickbag.train.batch_norms import micro_batch, require_variances
from trickbag.train.head_fit import head_to_fit
from trickbag.train.machine.device import autocast_dtype, placed
from trickbag.train.machine.parallel import World
from trickbag.train.machine.small_maps import pad_small_maps, use_products
from trickbag.train.machine.sync_batch_norm import synchronize
from trickbag.train.phases import Phases
from trickbag.train.pipeline import Pipeline
from trickbag.train.run import Run
from trickbag.train.teachers.cached import cached_logits
from trickbag.train.teachers.online import NoTeacher, OnlineTeachers
from trickbag.train.teachers.student import Student, student_of, teacher_notes
from trickbag.tricks.trick import NoEffect

if TYPE_CHECKING:
    from trickbag.data.dataset import Dataset
    from trickbag.data.size import Size
    from trickbag.data.teacher_logits import TeacherLogits
    from trickbag.functional.batch import Batch
    from trickbag.train.plan.plan import Plan
    from trickbag.train.teachers.cached import OnProgress
    from trickbag.tricks.trick import Average, Loss, Trick

__all__ = ["build", "build_loss"]


def build(
    plan: Plan,
    tricks: tuple[Trick, ...],
    dataset: Dataset | None = None,
    on_progress: OnProgress | None = None,
    world: World | None = None,
) -> tuple[Run, list[Note]]:
    """Build the network, the optimizer and the step of a plan; return the run and notes on it.

    A trick that learns from teachers needs the `dataset`, and so does a plan that starts from
    weights: their classifier is for classes. `on_progress(done, total)` is called while teachers
    compute the logits that are cached. `world` are the processes that train the run together; None
    is this process alone. Raises DoesNotApply for a trick that cannot work on the network, and
    UserError for weights that cannot be loaded, or images that the network does not take.
    """
    device = torch.device(plan.device)
    if plan.training.half_weights and plan.task.kind == "detection":
        raise UserError(
            "half weights (training.half_weights) are of classification and segmentation, not of "
            "detection",
            "leave them out",
        )
    network, notes = _build_network(plan, tricks, dataset)
    network = placed(network, device, plan.layout)
    if plan.training.small_maps == "products":
        use_products(network)
    # oneDNN gives wrong gradients of small maps in bf16; see `pad_small_maps`.
    if plan.device == "cpu" and plan.precision == "bf16":
        pad_small_maps(network)
    phases = Phases.of(network, plan.training)
    groups, group_notes = _param_groups(plan, tricks, network, phases.never_trained)
    head, head_notes = head_to_fit(plan, network)
    student = student_of(tricks)
    teach: Callable[[Batch], Batch] = NoTeacher()
    teacher_logits = None
    if student is not None:
        teach, teacher_logits = _teachers(student, plan, dataset, on_progress, notes.append)
        notes += teacher_notes(student, plan, tricks)
    average = _average(tricks, network, notes)
    loss = build_loss(plan, tricks, notes)
    run = Run(
        plan=plan,
        tricks=tricks,
        network=network,
        pipeline=_pipeline(plan, tricks, student if teacher_logits is not None else None),
        evaluation=Preprocessing.for_evaluation(plan.data, plan.image_size),
        loss=loss,
        optimizer=plan.training.optimizer(groups, plan.training.lr, fused=_fuses(plan)),
        scaler=torch.amp.GradScaler(plan.device, enabled=plan.precision == "fp16"),
        device=device,
        autocast_dtype=autocast_dtype(plan.precision),
        # After the average, which is a copy of the network: it shall not draw.
        layer_streams=LayerStreams(
            backbone_of(network), (plan.data.pixels.count, *height_width(plan.image_size))
        ),
        phases=phases,
        head_to_fit=head,
        average=average,
        teach=teach,
        teacher_logits=teacher_logits,
        world=world or World(),
    )
    run.begin_at(plan.timestamp(0))
    # Last: until here the network was looked at on shapes, which no other process waits for.
    if plan.training.sync_batch_norm and run.world.size > 1:
        synchronize(run.network, run.world.all_gather_tensor)
    return run, notes + group_notes + head_notes


def _fuses(plan: Plan) -> bool:
    """Tell whether one kernel updates all parameters."""
    # Those of timm have none; on MPS torch's default is what most people use.
    return plan.training.optimizer.kind in ("sgd", "adamw") and plan.device != "mps"


def build_loss(plan: Plan, tricks: tuple[Trick, ...], notes: list[Note] | None = None) -> Loss:
    """Build the loss: a trick that replaces it comes first, then a teacher's, then those that wrap.

    The teacher's share is then of the loss of the labels alone, wherever distillation stands among
    the tricks. `notes` gets those on tricks that say that they change nothing.
    """
    loss = plan.build_task().loss()
    order = ("loss", "teacher")
    for trick in sorted(tricks, key=lambda trick: (*order, trick.slot).index(trick.slot)):
        try:
            loss = trick.loss(loss)
        except NoEffect as none:
            if notes is not None:
                notes.append(Note("no_effect", trick.name, none.reason))
    return loss


def _build_network(
    plan: Plan, tricks: tuple[Trick, ...], dataset: Dataset | None
) -> tuple[nn.Module, list[Note]]:
    """Return the network with its initial values, on the CPU."""
    network = build_task_network(plan.task, plan.model, seed=_init_seed(plan, dataset))
    backbone = backbone_of(network)
    sizes = _image_sizes(plan, tricks, network)
    _require_shapes(backbone, plan, sizes)
    if plan.training.probe is not None:
        LinearHead.of(backbone, plan.model)
    notes = network_notes(network)
    for trick in tricks:
        try:
            trick.network(backbone)
        except NoEffect as none:
            notes.append(Note("no_effect", trick.name, none.reason))
    if _from_weights(plan):
        notes += _load_weights(backbone, plan, dataset)
        keep_loaded(network)
        reason = "the weights come from a file"
        notes += [Note("no_effect", t.name, reason) for t in tricks if t.overrides("network")]
    elif plan.training.init_head != "auto":
        reason = f"training.init_head={plan.training.init_head} is ignored: no weights are loaded"
        notes.append(Note("choice", None, reason))
    # Behind what a task keeps of weights: frozen normalisations need no variance of a batch.
    require_variances(network, plan, sizes)
    if plan.training.gradient_checkpointing:
        enable_gradient_checkpointing(backbone)
    return network, notes


def _from_weights(plan: Plan) -> bool:
    return bool(plan.training.init) or plan.training.pretrained


def _init_seed(plan: Plan, dataset: Dataset | None) -> int:
    """Return the seed of the network's initial values."""
    if not _from_weights(plan):
        return plan.seed
    if dataset is None:
        raise ValueError("the plan starts from weights for other classes: build needs the data set")
    init = plan.training.init
    weights = weights_digest(Path(init)) if init else published_id(plan.model)
    # All that the weights hold is replaced. What is left is new here, above all rows of the
    # classifier, and must not be what the seed drew when those weights were trained.
    return init_seed(plan.seed, weights, dataset.fingerprint)


def _load_weights(network: nn.Module, plan: Plan, dataset: Dataset | None) -> list[Note]:
    training, classes = plan.training, None if dataset is None else dataset.classes
    if training.init:
        return load_weights(
            network,
            Path(training.init),
            config=plan.model,
            classes=classes,
            init_head=training.init_head,
        )
    return load_pretrained(network, plan.model, classes=classes, init_head=training.init_head)


def _pipeline(plan: Plan, tricks: tuple[Trick, ...], cached_student: Student | None) -> Pipeline:
    class_weights = None
    if plan.class_weights is not None:
        class_weights = torch.tensor(plan.class_weights, device=torch.device(plan.device))
    return Pipeline(
        task=plan.build_task(),
        preprocessing=Preprocessing.of(plan.data, plan.image_size),
        flip_prob=plan.batch_flip_prob,
        tricks=tricks,
        layout=plan.layout,
        class_weights=class_weights,
        cached_student=None if cached_student is None else cached_student.trick,
    )


def _teachers(
    student: Student,
    plan: Plan,
    dataset: Dataset | None,
    on_progress: OnProgress | None,
    on_note: Callable[[Note], None],
) -> tuple[Callable[[Batch], Batch], TeacherLogits | None]:
    """Return what teaches in the step, and the cached logits of teachers that do not."""
    if dataset is None:
        raise ValueError(
            f"{student.trick.name} learns from other networks: build needs the data set"
        )
    if student.spec.view == "online":
        return OnlineTeachers.of(student, plan, dataset), None
    return NoTeacher(), cached_logits(student, plan, dataset, on_progress, on_note)


def _average(tricks: tuple[Trick, ...], network: nn.Module, notes: list[Note]) -> Average | None:
    """Return what averages the weights; None if no trick does, UserError if two do."""
    averages: dict[str, Average] = {}
    for trick in tricks:
        try:
            average = trick.average(network)
        except NoEffect as none:
            notes.append(Note("no_effect", trick.name, none.reason))
            continue
        if average is not None:
            averages[trick.name] = average
    if len(averages) > 1:
        raise UserError(
            f"{' and '.join(averages)} each average the weights: a run has one average",
            "take one out",
        )
    return next(iter(averages.values()), None)


def _image_sizes(plan: Plan, tricks: tuple[Trick, ...], network: nn.Module) -> list[Size]:
    """Return the image sizes of all epochs, the smallest first.

    Raises UserError if they are more than can be compiled.
    """
    by_epoch = plan.data_by_epoch(tricks)
    sizes = sorted({data.image_size for data in by_epoch if data.image_size}, key=number_of_pixels)
    # A graph for each size, and two if the micro-batches of a batch have two sizes.
    graphs = len(sizes) * (2 if plan.batch_size % plan.training.accumulate else 1)
    phases = _number_of_phases(plan, network)
    graphs *= phases  # a graph is of the parameters that have gradients
    # Beyond it torch fails in the middle of the run: `fullgraph` does not allow it to fall back.
    limit: int = torch._dynamo.config.recompile_limit
    if plan.compile and graphs > limit:
        trained = f" and trains {phases} sets of its parts" if phases > 1 else ""
        raise UserError(
            f"the run has images of {len(sizes)} sizes{trained}, for which {graphs} graphs would "
            f"be compiled, of {limit} that can be",
            "take fewer (progressive_resizing.stages), or --set training.compile=off",
        )
    return sizes


def _number_of_phases(plan: Plan, network: nn.Module) -> int:
    """Return how many sets of parameters are trained, at most, one after the other."""
    if plan.training.unfreeze == "gradual":
        return min(plan.training.epochs, len(stage_groups(network)))
    return 2 if plan.training.head_epochs else 1


def _require_shapes(network: nn.Module, plan: Plan, sizes: list[Size]) -> None:
    """Raise UserError if the network cannot take the run's images in batches of the run's size.

    Nothing is computed: the smallest micro-batch goes through the network on shapes alone.
    """
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {name: tensor.detach().to("meta") for name, tensor in state.items()}
    network_name = display_name(plan.model)
    made_for = size_text(made_for_size(plan.model))
    channels = plan.data.pixels.count

    def require(rows: int, size: Size, task: str, way_out: str) -> None:
        height, width = height_width(size)
        images = torch.empty(rows, channels, height, width, device="meta")
        try:
            with torch.no_grad():
                functional_call(network, shapes, (images,))
        except Exception as error:  # every network refuses in its own way
            raise UserError(
                f"{network_name} cannot {task} {rows} images of {channels}x{height}x{width} at a "
                f"time: {first_line(error)}",
                f"choose another {way_out}",
            ) from error

    evaluated_size = Preprocessing.for_evaluation(plan.data, plan.image_size).image_size
    if evaluated_size != plan.image_size:
        network.eval()
        settings = "data.eval_ratio (1 is the size of training images), --image-size or --model"
        require(1, evaluated_size, "evaluate", settings)
    # Some networks have more layers in training. Single values are `require_variances`'.
    network.train()
    for norm in (module for module in network.modules() if isinstance(module, _BatchNorm)):
        norm.eval()
    rows = micro_batch(plan)
    way_out = f"--image-size ({network_name} is made for {made_for}), --batch-size or --model"
    if len(sizes) > 1:
        way_out += f"; the sizes of all epochs are {sizes_text(sizes)} px"
    for size in sizes:
        require(rows, size, "be trained on", way_out)
    network.train()


def _param_groups(
    plan: Plan, tricks: tuple[Trick, ...], network: nn.Module, never_trained: set[nn.Parameter]
) -> tuple[list[dict[str, Any]], list[Note]]:
    """Return the optimizer's parameter groups: one for each layer if their rates differ."""
    training = plan.training
    decay = training.layer_decay
    layers = layer_groups(network) if decay < 1 else [list(network.parameters())]
    groups: list[dict[str, Any]] = [
        {
            "params": [p for p in params if p not in never_trained],
            "weight_decay": training.weight_decay,
            "lr_scale": decay ** (len(layers) - 1 - i),
        }
        for i, params in enumerate(layers)
    ]
    if training.head_lr != 1:
        groups = _with_head_rate(groups, set(stage_groups(network)[-1]), training.head_lr)
    notes = []
    for trick in tricks:
        try:
            groups = trick.param_groups(groups, network)
        except NoEffect as none:
            notes.append(Note("no_effect", trick.name, none.reason))
    return [group for group in groups if group["params"]], notes


def _with_head_rate(
    groups: list[dict[str, Any]], head: set[nn.Parameter], factor: float
) -> list[dict[str, Any]]:
    """Return the groups with the head in groups of its own, at `factor` times the rate."""
    split = []
    for group in groups:
        params = group["params"]
        split.append({**group, "params": [p for p in params if p not in head]})
        of_head = [p for p in params if p in head]
        split.append({**group, "params": of_head, "lr_scale": group["lr_scale"] * factor})
    return [group for group in split if group["params"]]
