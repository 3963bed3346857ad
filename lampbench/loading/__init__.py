"""From the name of a model to its weights in memory: what it is, where it lies, why it cannot be loaded."""
