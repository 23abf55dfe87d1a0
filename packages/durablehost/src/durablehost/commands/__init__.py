"""`python -m durablehost durable <verb>`: reads or changes a task hub without a host, as `func durable` does."""
