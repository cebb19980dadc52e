"""Optimisation: the training config, learning-rate schedules, optimizers, steps of one and two
passes, losses."""
