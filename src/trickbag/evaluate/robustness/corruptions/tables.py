"""The published tables of parameters: ImageNet-C, Tiny-ImageNet-C, CIFAR-10-C.

The constants are those of the scripts that made the three data sets, in the repository
hendrycks/robustness, folder ImageNet-C/create_c: make_imagenet_c.py (images of 224 px),
make_tinyimagenet_c.py (64 px) and make_cifar_c.py (32 px).
"""

from __future__ import annotations

from trickbag.errors import UserError, choices
from trickbag.evaluate.robustness.corruptions.parameters import (
    DefocusDisk,
    ElasticWarp,
    FogLayer,
    FrostLayer,
    GlassShuffle,
    MotionLine,
    Parameters,
    SaturationChange,
    SnowLayer,
    SpatterLayer,
    ZoomRange,
)

__all__ = ["CIFAR10_C", "IMAGENET_C", "TABLES", "TINY_IMAGENET_C", "table_for"]

IMAGENET_C = Parameters(
    name="imagenet_c",
    side=224,
    source="hendrycks/robustness, ImageNet-C/create_c/make_imagenet_c.py",
    gaussian_noise=(0.08, 0.12, 0.18, 0.26, 0.38),
    shot_noise=(60, 25, 12, 5, 3),
    impulse_noise=(0.03, 0.06, 0.09, 0.17, 0.27),
    defocus_blur=(
        DefocusDisk(3, 0.1),
        DefocusDisk(4, 0.5),
        DefocusDisk(6, 0.5),
        DefocusDisk(8, 0.5),
        DefocusDisk(10, 0.5),
    ),
    glass_blur=(
        GlassShuffle(0.7, 1, 2),
        GlassShuffle(0.9, 2, 1),
        GlassShuffle(1, 2, 3),
        GlassShuffle(1.1, 3, 2),
        GlassShuffle(1.5, 4, 2),
    ),
    motion_blur=(
        MotionLine(10, 3),
        MotionLine(15, 5),
        MotionLine(15, 8),
        MotionLine(15, 12),
        MotionLine(20, 15),
    ),
    zoom_blur=(
        ZoomRange(1.11, 0.01),
        ZoomRange(1.16, 0.01),
        ZoomRange(1.21, 0.02),
        ZoomRange(1.26, 0.02),
        ZoomRange(1.31, 0.03),
    ),
    snow=(
        SnowLayer(0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        SnowLayer(0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        SnowLayer(0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        SnowLayer(0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        SnowLayer(0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
    frost=(
        FrostLayer(1, 0.4, 1),
        FrostLayer(0.8, 0.6, 1),
        FrostLayer(0.7, 0.7, 1),
        FrostLayer(0.65, 0.7, 1),
        FrostLayer(0.6, 0.75, 1),
    ),
    fog=(
        FogLayer(1.5, 2),
        FogLayer(2, 2),
        FogLayer(2.5, 1.7),
        FogLayer(2.5, 1.5),
        FogLayer(3, 1.4),
    ),
    brightness=(0.1, 0.2, 0.3, 0.4, 0.5),
    contrast=(0.4, 0.3, 0.2, 0.1, 0.05),
    # The script has fractions of 244 px for images of 224 px (and of 360 px for those of 299 px).
    elastic_transform=(
        ElasticWarp(2 * 244 / 224, 0.7 * 244 / 224, 0.1 * 244 / 224),
        ElasticWarp(2 * 244 / 224, 0.08 * 244 / 224, 0.2 * 244 / 224),
        ElasticWarp(0.05 * 244 / 224, 0.01 * 244 / 224, 0.02 * 244 / 224),
        ElasticWarp(0.07 * 244 / 224, 0.01 * 244 / 224, 0.02 * 244 / 224),
        ElasticWarp(0.12 * 244 / 224, 0.01 * 244 / 224, 0.02 * 244 / 224),
    ),
    pixelate=(0.6, 0.5, 0.4, 0.3, 0.25),
    jpeg_compression=(25, 18, 15, 10, 7),
    speckle_noise=(0.15, 0.2, 0.35, 0.45, 0.6),
    gaussian_blur=(1, 2, 3, 4, 6),
    spatter=(
        SpatterLayer(0.65, 0.3, 4, 0.69, 0.6, False),
        SpatterLayer(0.65, 0.3, 3, 0.68, 0.6, False),
        SpatterLayer(0.65, 0.3, 2, 0.68, 0.5, False),
        SpatterLayer(0.65, 0.3, 1, 0.65, 1.5, True),
        SpatterLayer(0.67, 0.4, 1, 0.65, 1.5, True),
    ),
    saturate=(
        SaturationChange(0.3, 0),
        SaturationChange(0.1, 0),
        SaturationChange(2, 0),
        SaturationChange(5, 0.1),
        SaturationChange(20, 0.2),
    ),
)

TINY_IMAGENET_C = Parameters(
    name="tiny_imagenet_c",
    side=64,
    source="hendrycks/robustness, ImageNet-C/create_c/make_tinyimagenet_c.py",
    gaussian_noise=(0.04, 0.08, 0.12, 0.15, 0.18),
    shot_noise=(250, 100, 50, 30, 15),
    impulse_noise=(0.01, 0.02, 0.05, 0.08, 0.14),
    defocus_blur=(
        DefocusDisk(0.5, 0.6),
        DefocusDisk(1, 0.1),
        DefocusDisk(1.5, 0.1),
        DefocusDisk(2.5, 0.01),
        DefocusDisk(3, 0.1),
    ),
    glass_blur=(
        GlassShuffle(0.1, 1, 1),
        GlassShuffle(0.5, 1, 1),
        GlassShuffle(0.6, 1, 2),
        GlassShuffle(0.7, 2, 1),
        GlassShuffle(0.9, 2, 2),
    ),
    motion_blur=(
        MotionLine(10, 1),
        MotionLine(10, 1.5),
        MotionLine(10, 2),
        MotionLine(10, 2.5),
        MotionLine(12, 3),
    ),
    zoom_blur=(
        ZoomRange(1.06, 0.01),
        ZoomRange(1.11, 0.01),
        ZoomRange(1.16, 0.01),
        ZoomRange(1.21, 0.01),
        ZoomRange(1.26, 0.01),
    ),
    snow=(
        SnowLayer(0.1, 0.2, 1, 0.6, 8, 3, 0.8),
        SnowLayer(0.1, 0.2, 1, 0.5, 10, 4, 0.8),
        SnowLayer(0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
        SnowLayer(0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
        SnowLayer(0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
    ),
    frost=(
        FrostLayer(1, 0.3, 0.3),
        FrostLayer(0.9, 0.4, 0.3),
        FrostLayer(0.8, 0.45, 0.3),
        FrostLayer(0.75, 0.5, 0.3),
        FrostLayer(0.7, 0.55, 0.3),
    ),
    fog=(
        FogLayer(0.4, 3),
        FogLayer(0.7, 3),
        FogLayer(1, 2.5),
        FogLayer(1.5, 2),
        FogLayer(2, 1.75),
    ),
    brightness=(0.1, 0.2, 0.3, 0.4, 0.5),
    contrast=(0.4, 0.3, 0.2, 0.1, 0.05),
    elastic_transform=(
        ElasticWarp(0, 0, 0.08),
        ElasticWarp(0.05, 0.3, 0.06),
        ElasticWarp(0.1, 0.08, 0.06),
        ElasticWarp(0.1, 0.03, 0.03),
        ElasticWarp(0.16, 0.03, 0.02),
    ),
    pixelate=(0.9, 0.8, 0.7, 0.6, 0.5),
    jpeg_compression=(65, 58, 50, 40, 25),
    speckle_noise=(0.15, 0.2, 0.25, 0.3, 0.35),
    gaussian_blur=(0.5, 0.75, 1, 1.25, 1.5),
    spatter=(
        SpatterLayer(0.62, 0.1, 0.7, 0.7, 0.6, False),
        SpatterLayer(0.65, 0.1, 0.8, 0.7, 0.6, False),
        SpatterLayer(0.65, 0.3, 1, 0.69, 0.6, False),
        SpatterLayer(0.65, 0.1, 0.7, 0.68, 0.6, True),
        SpatterLayer(0.65, 0.1, 0.5, 0.67, 0.6, True),
    ),
    saturate=(
        SaturationChange(0.3, 0),
        SaturationChange(0.1, 0),
        SaturationChange(2, 0),
        SaturationChange(5, 0.1),
        SaturationChange(30, 0.2),
    ),
)

CIFAR10_C = Parameters(
    name="cifar10_c",
    side=32,
    source="hendrycks/robustness, ImageNet-C/create_c/make_cifar_c.py",
    gaussian_noise=(0.04, 0.06, 0.08, 0.09, 0.10),
    shot_noise=(500, 250, 100, 75, 50),
    impulse_noise=(0.01, 0.02, 0.03, 0.05, 0.07),
    defocus_blur=(
        DefocusDisk(0.3, 0.4),
        DefocusDisk(0.4, 0.5),
        DefocusDisk(0.5, 0.6),
        DefocusDisk(1, 0.2),
        DefocusDisk(1.5, 0.1),
    ),
    glass_blur=(
        GlassShuffle(0.05, 1, 1),
        GlassShuffle(0.25, 1, 1),
        GlassShuffle(0.4, 1, 1),
        GlassShuffle(0.25, 1, 2),
        GlassShuffle(0.4, 1, 2),
    ),
    motion_blur=(
        MotionLine(6, 1),
        MotionLine(6, 1.5),
        MotionLine(6, 2),
        MotionLine(8, 2),
        MotionLine(9, 2.5),
    ),
    zoom_blur=(
        ZoomRange(1.06, 0.01),
        ZoomRange(1.11, 0.01),
        ZoomRange(1.16, 0.01),
        ZoomRange(1.21, 0.01),
        ZoomRange(1.26, 0.01),
    ),
    snow=(
        SnowLayer(0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        SnowLayer(0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        SnowLayer(0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        SnowLayer(0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        SnowLayer(0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    frost=(
        FrostLayer(1, 0.2, 0.2),
        FrostLayer(1, 0.3, 0.2),
        FrostLayer(0.9, 0.4, 0.2),
        FrostLayer(0.85, 0.4, 0.2),
        FrostLayer(0.75, 0.45, 0.2),
    ),
    fog=(
        FogLayer(0.2, 3),
        FogLayer(0.5, 3),
        FogLayer(0.75, 2.5),
        FogLayer(1, 2),
        FogLayer(1.5, 1.75),
    ),
    brightness=(0.05, 0.1, 0.15, 0.2, 0.3),
    contrast=(0.75, 0.5, 0.4, 0.3, 0.15),
    elastic_transform=(
        ElasticWarp(0, 0, 0.08),
        ElasticWarp(0.05, 0.2, 0.07),
        ElasticWarp(0.08, 0.06, 0.06),
        ElasticWarp(0.1, 0.04, 0.05),
        ElasticWarp(0.1, 0.03, 0.03),
    ),
    pixelate=(0.95, 0.9, 0.85, 0.75, 0.65),
    jpeg_compression=(80, 65, 58, 50, 40),
    speckle_noise=(0.06, 0.1, 0.12, 0.16, 0.2),
    gaussian_blur=(0.4, 0.6, 0.7, 0.8, 1),
    spatter=(
        SpatterLayer(0.62, 0.1, 0.7, 0.7, 0.5, False),
        SpatterLayer(0.65, 0.1, 0.8, 0.7, 0.5, False),
        SpatterLayer(0.65, 0.3, 1, 0.69, 0.5, False),
        SpatterLayer(0.65, 0.1, 0.7, 0.69, 0.6, True),
        SpatterLayer(0.65, 0.1, 0.5, 0.68, 0.6, True),
    ),
    saturate=(
        SaturationChange(0.3, 0),
        SaturationChange(0.1, 0),
        SaturationChange(1.5, 0),
        SaturationChange(2, 0.1),
        SaturationChange(2.5, 0.2),
    ),
)

TABLES = {table.name: table for table in (IMAGENET_C, TINY_IMAGENET_C, CIFAR10_C)}


def table_for(height: int, width: int, table: str = "auto") -> Parameters:
    """Return the named table, or for "auto" the one whose image size is nearest in ratio.

    Short sides up to 45 px take CIFAR-10-C's table, up to 119 px Tiny-ImageNet-C's, others
    ImageNet-C's. UserError for another name.
    """
    if table in TABLES:
        return TABLES[table]
    if table != "auto":
        raise UserError(
            f"there is no table of corruptions {table!r}",
            f"take one of {choices(['auto', *TABLES])}",
        )
    side = max(1, min(height, width))
    return min(TABLES.values(), key=lambda known: max(known.side / side, side / known.side))
