"""Teachers that compute their logits in each step, on the images that the network sees.

Shapes: N images, M teachers, K classes of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from trickbag.data.loading.preprocess import Preprocessing
from trickbag.train.machine.device import autocast, autocast_dtype, placed
from trickbag.train.teachers.teacher import TeacherNetwork

if TYPE_CHECKING:
    from trickbag.data.dataset import Dataset
    from trickbag.train.plan.plan import Plan
    from trickbag.train.teachers.student import Student
    from trickbag.tricks.trick import Batch

__all__ = ["NoTeacher", "OnlineTeachers"]


@dataclass(frozen=True)
class NoTeacher:
    """Leaves a batch as it is: no teacher computes in the step."""

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch."""
        return batch


@dataclass(frozen=True, eq=False)
class OnlineTeachers:
    """Gives a student the teachers' logits of its own batch: cropped, augmented and mixed.

    The teachers compute in the step's precision, and no gradient goes through them.
    """

    student: Student
    teachers: nn.ModuleList
    device: torch.device
    autocast_dtype: torch.dtype | None

    @classmethod
    def of(cls, student: Student, plan: Plan, dataset: Dataset) -> OnlineTeachers:
        """Load the teachers on the run's device.

        Raises DoesNotApply if one does not know the classes of the data or how many labels an
        image has.
        """
        of_run = Preprocessing.of(plan.data, plan.image_size)
        networks = [
            TeacherNetwork(teacher, dataset.classes, of_run) for teacher in student.teachers(plan)
        ]
        device = torch.device(plan.device)
        teachers = placed(nn.ModuleList(networks), device, plan.layout)
        return cls(student, teachers, device, autocast_dtype(plan.precision))

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with the teachers' probabilities among its extras."""
        # Not `inference_mode`: autograd cannot save its tensors, and the student's loss needs that.
        with torch.no_grad(), autocast(self.device, self.autocast_dtype):
            logits_NMK = torch.stack([teacher(batch.images) for teacher in self.teachers], dim=1)
        return self.student.trick.teach(batch, logits_NMK)
