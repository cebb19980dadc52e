"""Distillation: teacher networks, whose logits are computed in each step or once and cached."""
