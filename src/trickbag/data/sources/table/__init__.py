"""Tables: files in which a row names an image and its label."""
