"""Prove that a refactoring changes no number: the same under two commits, compared bit for bit.

Run it as `python -m tests.compare_commits BEFORE AFTER`.
"""
