"""Images: decoding of files, value ranges, and the transforms that a network expects."""
