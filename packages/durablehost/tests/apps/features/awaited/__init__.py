"""Waits for external events by the names in its input, one after another, with an activity before each."""

import azure.durable_functions as df


def awaited(context: df.DurableOrchestrationContext):
    received = []
    for name in context.get_input():
        yield context.call_activity("echo", name)
        received.append((yield context.wait_for_external_event(name)))
    return received


main = df.Orchestrator.create(awaited)
