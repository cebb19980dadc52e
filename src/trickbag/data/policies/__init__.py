"""Policies: random sequences of image operations, which the loader applies to training crops."""
