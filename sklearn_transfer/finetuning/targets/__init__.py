"""What y means for a network: columns, tasks, and the weights of rows and classes."""
