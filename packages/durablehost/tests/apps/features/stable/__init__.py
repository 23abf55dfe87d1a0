"""Compares its ids and times with those that it passed to an activity."""

import azure.durable_functions as df


def stable(context: df.DurableOrchestrationContext):
    told = []
    known = []
    for _ in range(3):
        known.append([context.new_uuid(), context.current_utc_datetime.isoformat()])
        told.append((yield context.call_activity("echo", known[-1])))
    return {"known": known, "told": told, "is_replaying": context.is_replaying}


main = df.Orchestrator.create(stable)
