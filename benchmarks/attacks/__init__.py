"""The parts of the attack: images, files that are read back, signals, environments."""
