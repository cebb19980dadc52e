"""Networks of timm: built from a config, with parts that tricks put into them."""
