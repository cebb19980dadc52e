"""Measurements of speed on the user's machine, each beside a reference in the same process."""
