"""Images and labels: sources, decoding, the check before training, the split, crops and batches."""
