"""The queues of a task hub, and their messages: received, grouped, sent, settled."""
