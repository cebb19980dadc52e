"""Probes: a classifier that is fitted on the features of a frozen network, computed once."""
