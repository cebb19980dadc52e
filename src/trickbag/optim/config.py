"""The settings of the optimisation, apart from the learning-rate schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from trickbag.data.cores import MAX_THREADS
from trickbag.durations import parse_time
from trickbag.errors import UserError
from trickbag.optim.optimizers import SGD, Optimizer
from trickbag.optim.probe import Probe
from trickbag.optim.steps import OnePass, Passes
from trickbag.ranges import MAX_EPOCHS, AtLeast, Between, NonNegative, Positive
from trickbag.settings import Settings

__all__ = ["MAX_BATCH", "MAX_STAGES", "Device", "Freeze", "TrainConfig"]

MAX_BATCH = 65_536
MAX_STAGES = 1_000

Device = Literal["auto", "cpu", "cuda", "mps"]
"""Where a run computes; auto: on a CUDA device if there is one, else on the CPU. mps: on the GPU of
a Mac."""

Freeze = Literal["none", "stem", "body"] | Annotated[int, AtLeast(1, MAX_STAGES)]
"""What of a network keeps its weights: nothing, the stem, the stem and so many of the first stages,
or all but the head."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
    """Optimisation: how long, in what batches, by which optimizer, in what precision.

    - batch_size: the effective batch. accumulate: the number of micro-batches into which it is
      divided; their gradients are summed before one update.
    - lr, weight_decay: per step at that batch. layer_decay: multiplies the learning rate once for
      each layer group below the head.
    - step: how a step computes its gradients, in one pass or in two (`sam`). clip_norm: the largest
      norm of all gradients together; None does not clip.
    - precision: `auto` is the reduced precision that the processor is made for; `auto_on_gpu` is
      that on a GPU, and float32 on a CPU.
    - layout: the memory layout of images and convolutions. `auto` is channels last where matrix
      units compute in reduced precision; float32 convolutions can gain from it too, above all
      depthwise ones.
    - small_maps: how bf16 on a CPU computes the convolutions of maps of a few pixels: as matrix
      `products`, which is several times as fast, or as torch's `convolutions`. `auto` is products,
      by the shapes of the maps. They differ in rounding alone.
    - eval_precision: that of validation, of `evaluate` and of `predict`, and so of every number
      that is reported.
    - keep: the weights that a run keeps in `best.safetensors`, and of which its result is: those of
      the best epoch, or of the last one. score: the metric that chooses the best epoch; None is
      top-1, or mAP if images have several labels. Of equal scores the smaller loss counts, then the
      later epoch.
    - device, compile, threads: `auto` and None follow the machine.
    - compile_mode: `reduce-overhead` records the compiled step as CUDA graphs, as torch calls it: a
      GPU then starts all its operations at once. It is for batches that are computed in one part,
      whose shapes are fixed, and takes memory for a copy of what the step computes.
    - half_weights: with a reduced precision, compute with copies of the weights of convolutions and
      linear layers in that precision; the optimizer keeps the float32 weights and updates those (He
      et al. 2018, section 3.2: parameters, activations and gradients in FP16).
    - deterministic: compute the same bits each time on a GPU, where some of torch's fastest
      algorithms do not; a run ends where an operation has no other. A CPU computes the same bits
      anyway.
    - init: start from weights in a safetensors file or a run's folder, or from the variables of an
      original network of Lee et al. 2020 (an `.npz`, or the prefix of a TensorFlow checkpoint).
      pretrained: start from the weights that timm publishes. At most one of the two.
    - init_head: what the classifier takes of such weights. `auto`: the rows of the classes with the
      same names; all others start anew, and the whole classifier where the weights do not name
      their classes. `keep`: all rows in their order, whatever their names. `new`: none.
    - fit_head: fit a classifier that starts anew before the first step, by ridge regression on the
      features of training images, one pass over at most 20,000 of them.
    - freeze: what keeps the weights that were loaded: `none`, the `stem`, a number N (the stem and
      the first N stages), or the `body` (all but the head). It has no gradient and no weight decay,
      and its batch normalisation keeps its running statistics and uses them.
    - head_epochs: the first epochs, in which the head alone is trained, at the full rate, on a body
      that computes as in evaluation; the schedule begins after them (LP-FT, Kumar et al. 2022,
      arXiv 2202.10054). unfreeze: what follows them, `all` stages at once or, `gradual`, one more
      in each epoch, from the last to the first (Howard & Ruder 2018, arXiv 1801.06146, section
      3.3).
    - head_lr: the learning rate of the head, as a multiple of lr.
    - batch_norm: `update` normalises by each batch, and keeps running statistics of the batches for
      evaluation. `frozen` keeps those that were loaded, and uses them in training too.
      `reestimate` is `update`, but computes the statistics anew before each evaluation, of training
      images that are prepared as in evaluation.
    - sync_batch_norm: normalise by the batch of all processes that train the run together, and not
      by each process's part. Parts of a batch by accumulate keep statistics of their own.
    - gradient_checkpointing: keep only the input of each block, and compute the rest again for the
      gradients: less memory for about a third more work, and the same result (Chen et al. 2016,
      arXiv 1604.06174).
    - patience: the run ends after so many epochs without a better score, of which those of the head
      alone (`head_epochs`) do not count. time_limit: the run ends before an epoch that would not
      fit into this time, such as `30min` or `2h`, which counts training and validation of all its
      parts; the first epoch is always trained. The schedule stays that of all `epochs`.
    - probe: fit the classifier alone, once, on features of the frozen network, in place of steps
      by gradients; None trains. All that is about steps then has no effect, the learning rate, the
      optimizer and random crops among it.
    """

    introduced_later: ClassVar[tuple[str, ...]] = (
        "batch_norm",
        "compile_mode",
        "deterministic",
        "eval_precision",
        "fit_head",
        "freeze",
        "half_weights",
        "head_epochs",
        "head_lr",
        "init_head",
        "keep",
        "layout",
        "patience",
        "probe",
        "score",
        "small_maps",
        "sync_batch_norm",
        "time_limit",
        "unfreeze",
    )

    epochs: Annotated[int, AtLeast(1, MAX_EPOCHS)] = 120
    batch_size: Annotated[int, AtLeast(1, MAX_BATCH)] = 256
    accumulate: Annotated[int, AtLeast(1, MAX_BATCH)] = 1
    optimizer: Optimizer = SGD()
    lr: Annotated[float, Positive] = 0.1
    weight_decay: Annotated[float, NonNegative] = 1e-4
    layer_decay: Annotated[float, Between(0, 1, open_low=True)] = 1.0
    step: Passes = OnePass()
    clip_norm: Annotated[float, Positive] | None = None
    precision: Literal["float32", "auto", "auto_on_gpu", "bf16", "fp16"] = "float32"
    eval_precision: Literal["float32", "bf16", "fp16"] = "float32"
    keep: Literal["best", "last"] = "last"
    score: str | None = None
    layout: Literal["auto", "contiguous", "channels_last"] = "auto"
    small_maps: Literal["auto", "products", "convolutions"] = "auto"
    device: Device = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    compile_mode: Literal["default", "reduce-overhead"] = "default"
    half_weights: bool = False
    threads: Annotated[int, AtLeast(1, MAX_THREADS)] | None = None
    deterministic: bool = False
    init: str | None = None
    pretrained: bool = False
    init_head: Literal["auto", "keep", "new"] = "auto"
    fit_head: bool = False
    freeze: Freeze = "none"
    head_epochs: Annotated[int, AtLeast(0, MAX_EPOCHS)] = 0
    unfreeze: Literal["all", "gradual"] = "all"
    head_lr: Annotated[float, Positive] = 1.0
    batch_norm: Literal["update", "frozen", "reestimate"] = "update"
    sync_batch_norm: bool = False
    gradient_checkpointing: bool = False
    patience: Annotated[int, AtLeast(1, MAX_EPOCHS)] | None = None
    time_limit: str | None = None
    probe: Probe | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.time_limit is not None:
            parse_time(self.time_limit, "training.time_limit")
        if self.init and self.pretrained:
            raise UserError(
                f"training.init = {self.init!r} and training.pretrained exclude each other: choose "
                "one"
            )
        if self.probe is not None and self.epochs != 1:
            raise UserError(
                f"training.epochs = {self.epochs}: a probe (training.probe) has no epochs of "
                "training",
                "--set training.epochs=1, or --set training.probe=none to train",
            )

    @property
    def time_limit_s(self) -> float | None:
        """The time limit in seconds."""
        if self.time_limit is None:
            return None
        return parse_time(self.time_limit, "training.time_limit")

    @property
    def can_end_early(self) -> bool:
        """Whether a run can end before its last epoch."""
        return self.patience is not None or self.time_limit is not None
