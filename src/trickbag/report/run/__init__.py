"""The report of one run, and of two runs compared."""
