"""Calls the activities of its input, given as names and inputs, all at once; failures are results."""

import azure.durable_functions as df


def calls(context: df.DurableOrchestrationContext):
    tasks = [context.call_activity(name, value) for name, value in context.get_input()]
    results = []
    for task in tasks:
        try:
            results.append((yield task))
        except Exception as failure:
            results.append(f"failed: {failure}")
    return results


main = df.Orchestrator.create(calls)
