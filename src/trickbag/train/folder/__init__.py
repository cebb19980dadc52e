"""A run's folder: its files, what is written while the run lasts, and the identity of a trial."""
