"""What `predict` gives of an image by the task of the network: boxes or masks, a file for each."""
