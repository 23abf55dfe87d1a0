"""Does not catch the failure of its activity."""

import azure.durable_functions as df


def failing(context: df.DurableOrchestrationContext):
    yield context.call_activity("fail", context.get_input())


main = df.Orchestrator.create(failing)
