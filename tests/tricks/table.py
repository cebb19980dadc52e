"""The table of the contract tests: every trick, with settings and a network to test it with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.builders.teachers import passing_teacher
from trickbag.models.parts import Gelu
from trickbag.tricks.activation import Activation
from trickbag.tricks.anti_alias import AntiAlias
from trickbag.tricks.asymmetric import Asymmetric
from trickbag.tricks.aug_mix import AugMix
from trickbag.tricks.auto_augment import AutoAugment
from trickbag.tricks.balanced_sampling import BalancedSampling
from trickbag.tricks.bce import BCE
from trickbag.tricks.big_little import BigLittleBranches
from trickbag.tricks.class_weights import ClassWeights
from trickbag.tricks.color_jitter import ColorJitter
from trickbag.tricks.compound_scaling import CompoundScaling
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.cutmix import CutMix
from trickbag.tricks.cutout import Cutout
from trickbag.tricks.dihedral import Dihedral
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.drop_block import DropBlock
from trickbag.tricks.dropout import Dropout
from trickbag.tricks.ema import Ema
from trickbag.tricks.exponential_decay import ExponentialDecay
from trickbag.tricks.focal import Focal
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.layer_decay import LayerDecay
from trickbag.tricks.linear_scaling import LinearScaling
from trickbag.tricks.mixed_precision import MixedPrecision
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.mixup_cutmix import MixupCutMix
from trickbag.tricks.no_bias_decay import NoBiasDecay
from trickbag.tricks.pca_noise import PCANoise
from trickbag.tricks.poly_decay import PolyDecay
from trickbag.tricks.progressive_resizing import ProgressiveResizing
from trickbag.tricks.rand_augment import RandAugment
from trickbag.tricks.random_erasing import RandomErasing
from trickbag.tricks.repeated_augmentation import RepeatedAugmentation
from trickbag.tricks.resnet_tweaks import ResNetB, ResNetC, ResNetD
from trickbag.tricks.sam import Sam
from trickbag.tricks.selective_kernel import SelectiveKernel
from trickbag.tricks.squeeze_excite import SqueezeExcite
from trickbag.tricks.step_decay import StepDecay
from trickbag.tricks.stochastic_depth import StochasticDepth
from trickbag.tricks.swa import Swa
from trickbag.tricks.three_augment import ThreeAugment
from trickbag.tricks.trivial_augment import TrivialAugment
from trickbag.tricks.warmup import Warmup
from trickbag.tricks.zero_init_residual import ZeroInitResidual

if TYPE_CHECKING:
    from trickbag.tricks import Trick

__all__ = ["TABLE", "Entry"]


class Entry(NamedTuple):
    """A trick with settings other than its defaults, and the name of a network that it changes.

    The settings must have an effect within a few steps of training.
    """

    trick: Trick
    model: str = "resnet18"


TABLE: dict[str, Entry] = {
    entry.trick.name: entry
    for entry in (
        Entry(Activation(function=Gelu())),
        Entry(AntiAlias(filter=2, places=("branch", "shortcut"))),
        Entry(Asymmetric(gamma_neg=2.0)),
        Entry(AugMix(severity=5)),
        Entry(AutoAugment(version="assemble")),
        Entry(BalancedSampling(power=0.5)),
        Entry(BCE(reduction="mean")),
        Entry(BigLittleBranches(alpha=4, beta=2), "resnet50"),
        Entry(ClassWeights(by="given", weights=(0.5, 1.0, 2.0))),
        Entry(ColorJitter(form="code", strength=0.3)),
        Entry(CompoundScaling(alpha=1.5, beta=1.0, gamma=1.25)),
        Entry(CosineDecay()),
        Entry(CutMix(alpha=0.7, lam="pair")),
        Entry(Cutout(side=0.3)),
        Entry(Dihedral(turns=False)),
        Entry(Distillation(teacher=(str(passing_teacher()),), form="code")),
        Entry(DropBlock(keep_prob=0.5, images="each")),
        Entry(Dropout(drop_prob=0.3)),
        Entry(Ema(decay=0.5, warmup=False)),
        Entry(ExponentialDecay(factor=0.9, every_epochs=0.5)),
        Entry(Focal(gamma=3.0)),
        Entry(LabelSmoothing(smoothing=0.2, definition="others")),
        Entry(LayerDecay(decay=0.5)),
        Entry(LinearScaling(reference_batch=100)),
        Entry(MixedPrecision(dtype="bf16")),
        Entry(Mixup(alpha=0.5, lam="pair")),
        Entry(MixupCutMix(per="image", prob=0.9)),
        Entry(NoBiasDecay(free="norm")),
        Entry(PCANoise(std=0.2)),
        Entry(PolyDecay(power=2.0)),
        Entry(ProgressiveResizing(stages=2)),
        Entry(RandomErasing(prob=0.9)),
        Entry(RandAugment(magnitude=15)),
        Entry(RepeatedAugmentation(times=2)),
        Entry(ResNetB(), "resnet50_a"),
        Entry(ResNetC()),
        Entry(ResNetD()),
        Entry(Sam(rho=0.1, adaptive=True)),
        # A block with a selective kernel names its convolutions otherwise. A Big-Little network has
        # enough other parameters whose start with and without the trick can be compared.
        Entry(SelectiveKernel(form="split"), "bl_resnet50"),
        Entry(SqueezeExcite(reduction=8)),
        Entry(StepDecay(factor=0.2, at=(0.5,))),
        Entry(StochasticDepth(drop_prob=0.3)),
        Entry(Swa(start=0.0, lr=0.3)),
        Entry(ThreeAugment(color_jitter=0.5)),
        Entry(TrivialAugment(bins=11)),
        Entry(Warmup(epochs=0.5)),
        Entry(ZeroInitResidual()),
    )
}
