"""Calls an activity for every item, all at once, and keeps the order."""

import azure.durable_functions as df


def fanned(context: df.DurableOrchestrationContext):
    return (yield context.task_all([context.call_activity("echo", item) for item in context.get_input()]))


main = df.Orchestrator.create(fanned)
