"""Layers and blocks of which networks are built."""
