"""The plan of a run: a recipe with every choice settled, before anything is built."""
