"""Training: one loop of epochs on skorch, its inputs, options, rates and history."""
