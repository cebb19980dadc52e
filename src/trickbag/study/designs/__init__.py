"""Designs: which variants a study compares."""
