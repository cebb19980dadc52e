"""Networks of timm: built from a config, and changed by tricks."""
