"""The search for an augmentation policy (AutoAugment): space, controllers, density matching."""
