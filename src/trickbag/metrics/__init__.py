"""What networks are measured by: counters that add up over batches, on the device."""
