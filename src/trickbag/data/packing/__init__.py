"""Packs are written: all images of a source, with their labels, into one Arrow file."""
