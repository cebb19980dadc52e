"""Statistics of a study: paired differences, factorial effects, intervals, verdicts; no torch."""
