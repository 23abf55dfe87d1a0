"""The rows of a task hub's tables and messages, as the storage has them: histories, instances, leases, payloads."""
