"""Takes the poison that its input names; else calls an activity."""

import azure.durable_functions as df

from ..shared import poison


def poisoned(context: df.DurableOrchestrationContext):
    poison.take(context.get_input())
    return (yield context.call_activity("echo", "harmless"))


main = df.Orchestrator.create(poisoned)
