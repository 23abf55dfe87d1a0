"""Adds up the data of external events, each in an execution of its own, until one is 0."""

import azure.durable_functions as df


def counted(context: df.DurableOrchestrationContext):
    total = context.get_input() or 0
    context.set_custom_status("counting")
    number = yield context.wait_for_external_event("number")
    if number == 0:
        return total
    context.continue_as_new(total + number)
    return None


main = df.Orchestrator.create(counted)
