"""Fetches files side by side, each with retries and one of them in a child, after an activity that always succeeds."""

import azure.durable_functions as df

RETRY = df.RetryOptions(first_retry_interval_in_milliseconds=100, max_number_of_attempts=2)


def delivered(context: df.DurableOrchestrationContext):
    paths = context.get_input()
    yield context.call_activity("fetch", paths[0])
    tasks = [context.call_activity_with_retry("fetch", RETRY, path) for path in paths[:2]]
    tasks += [context.call_sub_orchestrator("delivered", [path, path]) for path in paths[2:]]
    return (yield context.task_all(tasks))


main = df.Orchestrator.create(delivered)
