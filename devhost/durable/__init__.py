"""`python -m devhost durable <verb>`: a task hub acted on with no host running, as `func durable` does."""
