"""The settings of data in which arms can differ: how images are seen, not which there are."""

from __future__ import annotations

__all__ = ["VIEW"]

VIEW = (
    *("image_size", "default_size", "size_factor", "crop_area", "crop_ratio", "mask_scale"),
    *("flip_prob", "vertical_flip_prob", "quarter_turns", "policy", "views", "repeat_epochs"),
    *("class_power", "augmentation_repeats"),
    *("eval_crop", "eval_ratio", "mean", "std", "interpolation", "resize"),
    *("workers", "worker_kind", "hold_images", "dct_scaling"),
)
"""The settings of `data` that say how images are seen: the others say which images there are."""
