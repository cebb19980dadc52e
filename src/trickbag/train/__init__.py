"""Training: configs, the plan, what is built from it, the step and the loop."""
