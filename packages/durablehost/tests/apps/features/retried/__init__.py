"""Calls an activity with retries; with `caught` the last failure is the result."""

import azure.durable_functions as df


def retried(context: df.DurableOrchestrationContext):
    options = context.get_input()
    retry = df.RetryOptions(
        first_retry_interval_in_milliseconds=options.get("interval", 100), max_number_of_attempts=options["attempts"]
    )
    try:
        return (yield context.call_activity_with_retry("flaky", retry, options))
    except Exception as failure:
        if not options.get("caught"):
            raise
        return f"gave up: {failure}"


main = df.Orchestrator.create(retried)
