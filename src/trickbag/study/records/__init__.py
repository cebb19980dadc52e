"""Records of the files that a study writes and reads back, each with its schema version."""
