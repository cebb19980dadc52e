"""Policies: random sequences of image operations, applied by the loader."""
