"""Searches on the user's data: for augmentation policies, and for how a network is scaled."""
