"""The task hub as a whole: the engine's port, and operations on rows and messages together."""
