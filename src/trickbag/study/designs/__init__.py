"""Designs of studies, one a file, and what they share."""
