"""Images and labels: sources, decoding, the check before training, splitting, crops and batches."""
