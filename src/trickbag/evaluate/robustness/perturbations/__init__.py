"""How stable predictions are along perturbation sequences and under shifts."""
