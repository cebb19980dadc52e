"""A trained network with what is needed to use it as in its run: classes, preprocessing, device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trickbag.data.size import height_width
from trickbag.errors import Note, UserError
from trickbag.functional.device import copied
from trickbag.models.config import ModelConfig, read_model
from trickbag.models.official.weights import load_official
from trickbag.models.task_config import ClassificationConfig, TaskConfig
from trickbag.models.weights import load_with_metadata
from trickbag.models.weights_metadata import WeightsMetadata, weights_file
from trickbag.models.weights_names import BEST_WEIGHTS, LAST_WEIGHTS, folder_of_run
from trickbag.paths import is_file
from trickbag.tasks import task_of
from trickbag.tasks.classification import only_finite
from trickbag.train.folder.run_folder import RunFolder
from trickbag.train.folder.run_recipe import RunRecipe
from trickbag.train.loaders import evaluation_batch_size
from trickbag.train.machine.device import (
    Layout,
    Precision,
    autocast_dtype,
    choose_device,
    evaluation_autocast,
    in_layout,
    placed,
)
from trickbag.train.plan.plan import Plan

if TYPE_CHECKING:
    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.data.loading.raw_batch import RawBatch
    from trickbag.optim.config import Device
    from trickbag.tasks.task import Task

__all__ = ["CALIBRATE", "Trained"]

CALIBRATE = "`trickbag evaluate RUN --calibrate` fits a temperature"
"""What to do about confidences of a run that are not calibrated."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A network of a run, in evaluation mode on its device.

    `build_network` builds such a network from its config `model`. `columns` are those of the CSV
    file that it was trained from, if there was one, and `label_separator` what divides several
    labels of an image there. `record` holds the run's `recipe.json`, and `plan` the plan in it;
    both are None for a weights file without its run. `thresholds` of the
    classes were chosen on the run's validation part; they are None unless images have several
    labels. `epoch` of `epochs` is the epoch of the weights, None if it is not known. `precision` is
    the one that was asked for, else the one in which the run evaluated the weights, else float32.
    The memory layout is that of the run if the device is of the same type, else contiguous.
    `temperature` divides the logits for calibrated probabilities; None where the weights have none.
    That of an average is the geometric mean of those of its networks, unless one was fitted to it
    (`evaluate.average_temperature`).

    `task` is what the network does; of a detector or a segmenter `model` is the backbone.
    `tta` names the views of test-time augmentation that it averages, and `members` are the networks
    of such an average, or of an average of more than one (`evaluate.average`); what takes crops
    apart from `preprocessing.crop`, or looks into the network, is for one without members.
    `weights` are those of the members' probabilities, of sum 1; None where all count the same.
    `folded` batch normalisations of the network are part of its convolutions (`with_folded_norms`).
    `notes` are facts that a person should know.
    """

    path: Path
    network: nn.Module
    model: ModelConfig
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    columns: tuple[str, str] | None
    device: torch.device
    precision: Precision
    layout: Layout
    record: RunRecipe | None
    plan: Plan | None
    thresholds: tuple[float, ...] | None = None
    epoch: int | None = None
    epochs: int | None = None
    label_separator: str | None = None
    members: tuple[Trained, ...] = ()
    weights: tuple[float, ...] | None = None
    tta: str | None = None
    notes: tuple[Note, ...] = ()
    temperature: float | None = None
    task: TaskConfig = ClassificationConfig()
    folded: int = 0

    @classmethod
    def load(
        cls,
        run: Path | str,
        device: Device = "auto",
        precision: Precision | None = None,
    ) -> Trained:
        """Load the kept weights of a run's folder, `RUN:last`, or a weights file of a run.

        `precision` is by default the one in which the run reports. Raises UserError if there is no
        such run, a file is damaged, or the weights do not name their classes and preprocessing.
        """
        path = Path(run)
        network, metadata = load_with_metadata(path)
        record, plan = _read_record(path, metadata)
        return cls._of(path, network, metadata, device, record, plan, precision)

    @classmethod
    def official(cls, path: Path | str, name: str, device: Device = "auto") -> Trained:
        """Load an original network of Lee et al. 2020 from a file of its variables.

        `models.official.variables` describes the file. The classes are `background` and the WordNet
        ids of ImageNet, the preprocessing that of the original evaluation. Raises UserError as
        `models.official.weights.load_official`.
        """
        network, metadata = load_official(Path(path), name)
        return cls._of(Path(path), network, metadata, device, None, None)

    @classmethod
    def of_network(
        cls,
        path: Path,
        network: nn.Module,
        metadata: WeightsMetadata,
        device: Device = "auto",
        precision: Precision | None = None,
    ) -> Trained:
        """Return a network without a run, whose weights come from the file `path`."""
        return cls._of(path, network, metadata, device, None, None, precision)

    @classmethod
    def _of(
        cls,
        path: Path,
        network: nn.Module,
        metadata: WeightsMetadata,
        device: Device,
        record: RunRecipe | None,
        plan: Plan | None,
        precision: Precision | None = None,
    ) -> Trained:
        chosen = choose_device(device)
        # Another type of device may not gain from the run's layout.
        run_plan = plan if plan is not None and plan.device == chosen else None
        layout: Layout = "contiguous" if run_plan is None else run_plan.layout
        place = torch.device(chosen)
        return cls(
            path=path,
            network=placed(network, place, layout).eval(),
            model=metadata.model,
            classes=metadata.classes,
            preprocessing=metadata.preprocessing,
            columns=metadata.columns,
            device=place,
            precision=precision or metadata.eval_precision or "float32",
            layout=layout,
            record=record,
            plan=plan,
            thresholds=metadata.thresholds,
            epoch=metadata.epoch,
            epochs=metadata.epochs,
            label_separator=metadata.label_separator,
            temperature=metadata.temperature,
            task=metadata.task,
        )

    def with_folded_norms(self) -> Trained:
        """Return the network with its batch normalisations folded into the convolutions before.

        The weights of this one are changed: it is not to be used again. A note says that logits
        differ in rounding, or that no normalisation can be folded. Raises UserError for a detector
        or a segmenter.
        """
        if self.task.kind != "classification":
            raise UserError(
                f"--fold-batch-norms is for classifiers, and {self.path} does {self.task.kind}",
                "leave it out",
            )
        # It imports timm, which takes seconds.
        from trickbag.models.folding import fold_batch_norms

        prepared = self.preprocessing
        shape = (prepared.count, *height_width(prepared.image_size))
        folded = fold_batch_norms(self.network, shape)
        note = Note(
            "choice",
            None,
            f"{folded} batch normalisation{'s are' if folded != 1 else ' is'} folded into the "
            "convolutions: the logits are those of the network but for rounding",
        )
        if not folded:
            reason = "no batch normalisation of the network alone follows a convolution"
            note = Note("no_effect", None, f"--fold-batch-norms changes nothing: {reason}")
        return replace(self, folded=folded, notes=(*self.notes, note))

    def build_task(self) -> Task:
        """Return what the network was trained for."""
        return task_of(
            self.task, num_classes=len(self.classes), multi_label=self.thresholds is not None
        )

    @property
    def metadata(self) -> WeightsMetadata:
        """The metadata of a weights file of the network."""
        return WeightsMetadata(
            model=self.model,
            classes=self.classes,
            preprocessing=self.preprocessing,
            columns=self.columns,
            thresholds=self.thresholds,
            epoch=self.epoch,
            epochs=self.epochs,
            eval_precision=self.precision,
            label_separator=self.label_separator,
            temperature=self.temperature,
            task=self.task,
        )

    @property
    def lacks_temperature(self) -> bool:
        """Whether confidences could be calibrated, and are not."""
        return self.thresholds is None and self.temperature is None

    @property
    def way_to_calibrate(self) -> str:
        """What to do about confidences that are not calibrated; empty if there is nothing."""
        return CALIBRATE if self.lacks_temperature and self.record is not None else ""

    @property
    def weights_title(self) -> str:
        """The weights as text: their file, and their epoch if it is known."""
        if len(self.members) > 1:
            titles = [
                # Without a run the title is the path already.
                each.weights_title if each.record is None else f"{each.path}: {each.weights_title}"
                for each in self.members
            ]
            if self.weights is not None:
                pairs = zip(self.weights, titles, strict=True)
                titles = [f"{weight:.3f} of {title}" for weight, title in pairs]
            return f"the average of {len(self.members)} ({'; '.join(titles)})"
        name = weights_file(self.path).name if self.record is not None else str(self.path)
        folded = ", batch normalisation folded" if self.folded else ""
        if self.epoch is None:
            return name + folded
        of = "" if self.epochs is None else f" of {self.epochs}"
        return f"{name}, epoch {self.epoch}{of}{folded}"

    @property
    def batch_size(self) -> int:
        """The batch size of the run's validation; if it is not known 64, of large images 8."""
        if self.plan is not None:
            return evaluation_batch_size(self.plan)
        return 64 if self.task.kind == "classification" else 8

    @property
    def autocast_dtype(self) -> torch.dtype | None:
        """The type in which autocast computes; None for float32."""
        return autocast_dtype(self.precision)

    def outputs(self, raw: RawBatch) -> Any:
        """Return what the network says of a batch, see `Task.outputs`; as in validation."""
        with torch.inference_mode():
            images = self.preprocessing.normalise(copied(raw.images, self.device))
            with evaluation_autocast(self.device, self.autocast_dtype):
                return self.build_task().outputs(self.network, in_layout(images, self.layout), raw)

    def logits(self, images_NCHW: Tensor, *, calibrated: bool = False) -> Tensor:
        """Return the raw logits (N, K), float32 on the network's device, of cropped images.

        These are (N, C, H, W), uint8 or numbers from 0 to 255, on any device. All logits are NaN
        for an image of which one is not finite. If they are to be `calibrated`, they are divided by
        the temperature, if there is one.
        """
        with torch.inference_mode():
            images = self.preprocessing.normalise(copied(images_NCHW, self.device))
            with evaluation_autocast(self.device, self.autocast_dtype):
                logits_NK: Tensor = self.network(in_layout(images, self.layout))
            divisor = self.temperature if calibrated else None
            return only_finite(logits_NK.float()) / (divisor or 1.0)

    def probabilities(self, images_NCHW: Tensor, *, calibrated: bool = True) -> Tensor:
        """Return the probabilities (N, K), on the CPU, of cropped images (N, C, H, W), uint8.

        They are float32 and sum to 1, and are calibrated if the weights have a temperature, unless
        `calibrated` is false. With several labels an image each class has a probability of
        its own. These are float64, as for the choice of the thresholds: in float32 they are 1 for
        every logit above 17. All are NaN for an image of which a logit is not finite.
        """
        calibrated = calibrated and self.thresholds is None
        logits_NK = self.logits(images_NCHW, calibrated=calibrated)
        with torch.inference_mode():
            if self.thresholds is None:
                return logits_NK.softmax(dim=1).cpu()
            # On the CPU, as in validation: not every device has float64.
            return logits_NK.cpu().double().sigmoid()


def _read_record(path: Path, metadata: WeightsMetadata) -> tuple[RunRecipe | None, Plan | None]:
    """Read the recipe.json of the run that wrote the weights; None if they lie elsewhere."""
    if is_file(path) and path.name not in (BEST_WEIGHTS, LAST_WEIGHTS):
        return None, None
    folder = RunFolder(folder_of_run(path))
    record = RunRecipe.read(folder.recipe)
    resolved = record.resolved if record is not None else None
    # The file may have been copied into the folder of another run.
    if record is None or resolved is None or not _is_model(resolved.get("model"), metadata.model):
        return None, None
    try:
        return record, record.plan
    except UserError as error:
        raise UserError(f"{folder.recipe} is damaged: {error}") from error


def _is_model(data: object, model: ModelConfig) -> bool:
    """Tell whether plain data are those of a network's config."""
    try:
        return read_model(data) == model
    except UserError:
        return False
