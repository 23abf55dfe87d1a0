"""A generator that returns before it yields."""

import azure.durable_functions as df


def idle(context: df.DurableOrchestrationContext):
    if context.get_input() is None:
        return "nothing to do"
    return (yield context.call_activity("echo", context.get_input()))


main = df.Orchestrator.create(idle)
