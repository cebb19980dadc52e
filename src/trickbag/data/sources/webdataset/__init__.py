"""WebDataset shards: tar files in which entries of the same name are a sample."""
