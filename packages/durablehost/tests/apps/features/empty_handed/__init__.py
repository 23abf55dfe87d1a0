"""Calls an activity that returns nothing, with nothing."""

import azure.durable_functions as df


def empty_handed(context: df.DurableOrchestrationContext):
    return [(yield context.call_activity("forget")), (yield context.call_activity("echo"))]


main = df.Orchestrator.create(empty_handed)
