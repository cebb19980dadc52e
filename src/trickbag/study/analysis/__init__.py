"""Statistics of a study: paired differences, factorial effects, intervals and verdicts; no
torch."""
