"""What a network is trained for: the loss of a batch, the metrics of a part, the best epoch."""
