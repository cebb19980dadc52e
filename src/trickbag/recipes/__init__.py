"""Recipes by name, each a function of the data and the network; a file for each source."""

from __future__ import annotations

from trickbag.recipes.bello2021 import resnet_rs
from trickbag.recipes.beyer2021 import patient_teacher
from trickbag.recipes.detection import detection
from trickbag.recipes.fgvc import assemble_fgvc
from trickbag.recipes.finetune import finetune
from trickbag.recipes.fixres import fixres
from trickbag.recipes.he2018 import bag_of_tricks, baseline, efficient
from trickbag.recipes.lee2020 import (
    assemble_e0,
    assemble_e1,
    assemble_e2,
    assemble_e3,
    assemble_e4,
    assemble_e5,
    assemble_e6,
    assemble_e7,
    assemble_e8,
    assemble_e9,
    assemble_e10,
    assemble_e11,
    assemble_e12,
    assemble_resnet50,
    assemble_resnet152,
)
from trickbag.recipes.loading import load
from trickbag.recipes.named import RECIPES
from trickbag.recipes.segmentation import segmentation
from trickbag.recipes.small import small
from trickbag.recipes.torchvision2021 import torchvision_2021
from trickbag.recipes.wightman2021 import rsb_a1, rsb_a2, rsb_a3

__all__ = [
    "RECIPES",
    "assemble_e0",
    "assemble_e1",
    "assemble_e2",
    "assemble_e3",
    "assemble_e4",
    "assemble_e5",
    "assemble_e6",
    "assemble_e7",
    "assemble_e8",
    "assemble_e9",
    "assemble_e10",
    "assemble_e11",
    "assemble_e12",
    "assemble_fgvc",
    "assemble_resnet50",
    "assemble_resnet152",
    "bag_of_tricks",
    "baseline",
    "detection",
    "efficient",
    "finetune",
    "fixres",
    "load",
    "patient_teacher",
    "resnet_rs",
    "rsb_a1",
    "rsb_a2",
    "rsb_a3",
    "segmentation",
    "small",
    "torchvision_2021",
]
