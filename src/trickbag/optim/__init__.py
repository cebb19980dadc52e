"""Optimisation: settings, learning-rate schedules, optimizers, one- and two-pass steps, losses."""
