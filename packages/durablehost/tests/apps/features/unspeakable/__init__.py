"""Returns a value that JSON cannot represent."""

import azure.durable_functions as df


def unspeakable(context: df.DurableOrchestrationContext):
    yield context.call_activity("echo", 1)
    return {1, 2, 3}


main = df.Orchestrator.create(unspeakable)
