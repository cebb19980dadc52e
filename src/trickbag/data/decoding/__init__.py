"""From the bytes of a file to pixels: decoding, the check for damage, its cache, decoded images."""
