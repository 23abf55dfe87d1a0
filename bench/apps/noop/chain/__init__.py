"""Does nothing `chunks` times, one after another, and returns when it did."""

import azure.durable_functions as df


def chain(context: df.DurableOrchestrationContext):
    times = []
    for chunk in range(context.get_input()["chunks"]):
        ran_at = yield context.call_activity("nothing", chunk)
        times.append(ran_at)
    return times


main = df.Orchestrator.create(chain)
