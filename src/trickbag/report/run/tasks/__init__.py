"""The pages of runs of other tasks than classification: a file of sections for each task."""
