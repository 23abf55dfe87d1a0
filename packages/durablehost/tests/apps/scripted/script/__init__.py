"""Takes the steps of its input one after another, each a name and arguments; returns the results of those with one.

`{"steps": [["activity", "echo", 1], ["event", "go"]], "results": []}`
"""

from datetime import timedelta

import azure.durable_functions as df

RETRY = df.RetryOptions(first_retry_interval_in_milliseconds=4000, max_number_of_attempts=4)


def script(context: df.DurableOrchestrationContext):
    program = context.get_input()
    steps, results = list(program["steps"]), list(program["results"])
    while steps:
        name, *arguments = steps.pop(0)
        if name == "again":
            context.continue_as_new({"steps": steps, "results": results})
            return None
        if name == "fail":
            raise ValueError(*arguments)
        if name == "caught":
            try:
                yield begin(context, *arguments)
            except Exception as error:
                results.append(f"{type(error).__name__}: {error}")
        elif name == "version":
            results.append(context.version)
        elif name in PLAIN:
            PLAIN[name](context, *arguments)
        elif name == "any":
            results.append((yield from first(context, [begin(context, *each) for each in arguments])))
        elif name == "race":
            results.append((yield from race(context, *arguments)))
        elif name == "together":
            results.append((yield context.task_all([begin(context, *each) for each in arguments])))
        else:
            results.append((yield begin(context, name, *arguments)))
    return results


def begin(context, name, *arguments):
    return TASKS[name](context, *arguments)


def child(context, steps, instance_id=None):
    return context.call_sub_orchestrator("script", {"steps": steps, "results": []}, instance_id)


def retried_child(context, steps, instance_id=None):
    return context.call_sub_orchestrator_with_retry("script", RETRY, {"steps": steps, "results": []}, instance_id)


def timer(context, seconds):
    return context.create_timer(context.current_utc_datetime + timedelta(seconds=seconds))


def race(context, event_name, seconds):
    timeout = timer(context, seconds)
    event = context.wait_for_external_event(event_name)
    winner = yield context.task_any([event, timeout])
    if winner == timeout:
        return "timed out"
    timeout.cancel()
    return event.result


def first(context, tasks):
    """The result of the task that wins. The others stay open, but for timers."""
    winner = yield context.task_any(tasks)
    for each in tasks:
        if each is not winner and hasattr(each, "cancel"):
            each.cancel()
    return winner.result


TASKS = {
    "activity": lambda context, name, value: context.call_activity(name, value),
    "retried": lambda context, name, value: context.call_activity_with_retry(name, RETRY, value),
    "child": child,
    "retried-child": retried_child,
    "http": lambda context, uri: context.call_http("GET", uri),
    "event": lambda context, name: context.wait_for_external_event(name),
    "timer": timer,
    "call": lambda context, key, operation, value: context.call_entity(df.EntityId("Counter", key), operation, value),
}
PLAIN = {
    "signal": lambda context, key, operation, value: context.signal_entity(
        df.EntityId("Counter", key), operation, value
    ),
    "status": lambda context, status: context.set_custom_status(status),
}

main = df.Orchestrator.create(script)
