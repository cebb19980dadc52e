"""Distillation: teacher networks, and their logits, computed in each step or once and cached."""
