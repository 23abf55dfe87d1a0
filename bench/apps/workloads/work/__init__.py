"""Does the work that its input names, and returns how much of it was done, or how late a timer was in milliseconds."""

from datetime import timedelta

import azure.durable_functions as df

GROUP_SIZE = 100


def work(context: df.DurableOrchestrationContext):
    given = context.get_input()
    return (yield from KINDS[given["kind"]](context, given))


def events(context, given):
    received = set()
    for _ in range(given["count"]):
        received.add((yield context.wait_for_external_event("go")))
    return len(received)


def retries(context, given):
    options = df.RetryOptions(given["milliseconds"], given["failures"] + 1)
    calls = yield context.call_activity_with_retry("flaky", options, {"id": context.instance_id, **given})
    return calls - 1


def timer(context, given):
    due_at = context.current_utc_datetime + timedelta(seconds=given["seconds"])
    yield context.create_timer(due_at)
    return (context.current_utc_datetime - due_at).total_seconds() * 1000


def chain(context, given):
    done = 0
    for number in range(given["count"]):
        done += (yield context.call_activity("echo", number)) == number
    return done


def signals(context, given):
    entities = [df.EntityId("counter", f"{context.instance_id}-{key}") for key in range(given["entities"])]
    for number in range(given["count"]):
        context.signal_entity(entities[number % len(entities)], "add", 1)
    return sum((yield context.task_all([context.call_entity(entity, "add", 0) for entity in entities])))


def again(context, given):
    yield context.call_activity("echo", 1)
    if given["left"] > 1:
        context.continue_as_new({**given, "left": given["left"] - 1})
        return None
    return given["count"]


def fan(context, given):
    return len((yield context.task_all([context.call_activity("echo", each) for each in range(given["count"])])))


def groups(context, given):
    group = {"kind": "fan", "count": GROUP_SIZE}
    children = [context.call_sub_orchestrator("work", group) for _ in range(given["count"] // GROUP_SIZE)]
    return sum((yield context.task_all(children)))


KINDS = {each.__name__: each for each in (events, retries, timer, chain, signals, again, fan, groups)}

main = df.Orchestrator.create(work)
