"""Calls three activities, each with the result of the one before."""

import azure.durable_functions as df


def chained(context: df.DurableOrchestrationContext):
    text = context.get_input()
    for letter in "abc":
        text = yield context.call_activity("echo", text + letter)
    return text


main = df.Orchestrator.create(chained)
