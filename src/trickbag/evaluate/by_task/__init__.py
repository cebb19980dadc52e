"""Prediction for images with a detector or a segmenter: boxes, or the class of each pixel."""
