"""Keeps the failure of a child as its result; a child that fails is tried twice."""

import azure.durable_functions as df


def careful_parent(context: df.DurableOrchestrationContext):
    retry = df.RetryOptions(first_retry_interval_in_milliseconds=100, max_number_of_attempts=2)
    failures = []
    for call in (
        lambda: context.call_sub_orchestrator("broken", "once"),
        lambda: context.call_sub_orchestrator_with_retry("broken", retry, "twice"),
    ):
        try:
            yield call()
        except Exception as failure:
            failures.append(str(failure))
    return failures


main = df.Orchestrator.create(careful_parent)
