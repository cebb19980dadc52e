"""Robustness of a trained network: to corruptions, perturbations and shifts of its images.

Importing this package does not import torch.
"""
