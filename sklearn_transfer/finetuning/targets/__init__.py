"""Targets: the columns of y, their tasks, and the weights of rows and classes."""
