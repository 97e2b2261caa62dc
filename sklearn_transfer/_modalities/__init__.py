"""What a sample is, and how it becomes the input of a network."""
