"""Greets every name, all at once."""

import azure.durable_functions as df


def greet_all(context: df.DurableOrchestrationContext):
    names = context.get_input()
    return (yield context.task_all([context.call_activity("greet", name) for name in names]))


main = df.Orchestrator.create(greet_all)
