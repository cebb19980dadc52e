"""Batches: sampling, crops, worker processes, and the preprocessing of evaluation."""
