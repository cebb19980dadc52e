"""Metrics: counters summed over batches on the device, numpy functions of stored probabilities."""
