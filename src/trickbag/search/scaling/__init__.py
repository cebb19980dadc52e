"""The search for how a network is scaled: depth, width and image size together."""
