"""A small network of each family of timm: of each of its modules, one that is cheap to build."""

from __future__ import annotations

import timm
import torch
from torch import nn

__all__ = ["FAMILIES", "family", "on_shapes", "timm_families"]

FAMILIES: tuple[str, ...] = (
    "beit_base_patch16_224",
    "halonet50ts",
    "test_byobnet",
    "cait_xxs24_224",
    "coat_tiny",
    "convit_tiny",
    "convmixer_1024_20_ks9_p14",
    "test_convnext",
    "cpubone_nano",
    "crossvit_tiny_240",
    "csatv2",
    "cs3darknet_s",
    "cspnext_tiny",
    "davit_tiny",
    "deepseek_vit_412m",
    "deit_tiny_patch16_224",
    "densenet121",
    "dla34",
    "dpn48b",
    "edgenext_small",
    "efficientformer_l1",
    "efficientformerv2_s0",
    "test_efficientnet",
    "efficientvim_m1",
    "efficientvit_b0",
    "efficientvit_m0",
    "eva02_tiny_patch14_224",
    "fasternet_s",
    "fastvit_t8",
    "focalnet_tiny_lrf",
    "gcvit_xxtiny",
    "gemma4_vit_167m",
    "ghostnet_050",
    "hardcorenas_a",
    "hgnetv2_b0",
    "hiera_tiny_224",
    "sam2_hiera_tiny",
    "hrnet_w18_small",
    "iformer_s",
    "inception_next_atto",
    "inception_resnet_v2",
    "inception_v3",
    "inception_v4",
    "lcnetv2_small",
    "levit_128s",
    "lowformer_b0",
    "test_mambaout",
    "test_maxvit",
    "poolformer_s12",
    "mixer_s32_224",
    "mobilenetv3_small_050",
    "mobilenetv5_base",
    "mobilevit_xxs",
    "mvitv2_tiny",
    "naflexvit_base_patch16_siglip",
    "nasnetalarge",
    "nest_tiny",
    "nextvit_small",
    "test_nfnet",
    "pit_ti_224",
    "pnasnet5large",
    "pvt_v2_b0",
    "qwen3_vit_88m_merge",
    "rdnet_tiny",
    "regnetx_002",
    "repghostnet_050",
    "repvit_m1",
    "res2net50_14w_8s",
    "resnest14d",
    "test_resnet",
    "resnetv2_18",
    "rexnet_100",
    "selecsls42",
    "legacy_seresnet18",
    "sequencer2d_s",
    "shvit_s1",
    "skresnet18",
    "starnet_s1",
    "swiftformer_xs",
    "swin_s3_tiny_224",
    "swinv2_tiny_window8_256",
    "swinv2_cr_tiny_224",
    "tiny_vit_5m_224",
    "tnt_s_patch16_224",
    "tresnet_m",
    "twins_svt_small",
    "vgg11",
    "visformer_tiny",
    "test_vit",
    "vit_tiny_r_s16_p8_224",
    "test_vit_relpos",
    "samvit_base_patch16",
    "vitamin_small_224",
    "volo_d1_224",
    "ese_vovnet19b_slim",
    "legacy_xception",
    "xception41",
    "xcit_nano_12_p8_224",
)
"""One network for each module of timm that registers networks, in alphabetical order of modules."""


def family(name: str) -> str:
    """Return the module of timm that has a network."""
    module: str = timm.models.model_entrypoint(name).__module__
    return module.rpartition(".")[2]


def timm_families() -> set[str]:
    """Return the modules of the installed timm that register networks."""
    return {family(name) for name in timm.list_models()}


def on_shapes(name: str, **options: object) -> nn.Module:
    """Build a network of timm without memory for its weights."""
    with torch.device("meta"):
        network: nn.Module = timm.create_model(name, num_classes=10, **options)
    return network
