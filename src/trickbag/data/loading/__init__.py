"""Batches: sampling, crops, worker processes, preprocessing on the device."""
