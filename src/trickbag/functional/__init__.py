"""What several tricks compute with: the batch, boxes, mixing, and ways that suit a CPU."""
