"""Detectors: Faster R-CNN on the feature maps of a network."""
