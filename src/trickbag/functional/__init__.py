"""Pure functions that several tricks compute with: boxes, mixing, the choice of a processor."""
