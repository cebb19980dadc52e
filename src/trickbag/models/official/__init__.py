"""The original TensorFlow networks of Lee et al. 2020: names, networks, and their weights."""
