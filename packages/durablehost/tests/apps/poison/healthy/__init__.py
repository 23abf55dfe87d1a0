"""Calls an activity a few times, one after another."""

import azure.durable_functions as df


def healthy(context: df.DurableOrchestrationContext):
    value = 0
    for _ in range(3):
        value = 1 + (yield context.call_activity("echo", value))
    return value


main = df.Orchestrator.create(healthy)
