"""Cross-validation: a run for each fold of the data, and predictions for all of its images."""
