"""Studies: which trick helps, by how much, how sure that is, and at what price."""
