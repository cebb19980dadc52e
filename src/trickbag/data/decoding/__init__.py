"""From the bytes of a file to pixels: decoding, checks for damage, caches."""
