"""Equal tuning of the arms of a study, before they are compared."""
