"""Packs: all images of a source with their labels in one Arrow file, which is mapped to memory."""
