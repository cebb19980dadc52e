"""Data sets of the library `datasets`: from the Hugging Face Hub, or from a folder on disk."""
