"""Calls functions that the app does not have."""

import azure.durable_functions as df


def misled(context: df.DurableOrchestrationContext):
    failures = []
    for call in (lambda: context.call_activity("no_activity"), lambda: context.call_sub_orchestrator("no_child")):
        try:
            yield call()
        except Exception as failure:
            failures.append(str(failure))
    return failures


main = df.Orchestrator.create(misled)
