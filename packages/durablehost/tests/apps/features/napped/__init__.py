"""Sleeps until a moment that many seconds from now, which may be past, and returns both moments."""

from datetime import timedelta

import azure.durable_functions as df


def napped(context: df.DurableOrchestrationContext):
    began_at = context.current_utc_datetime
    yield context.create_timer(began_at + timedelta(seconds=context.get_input()))
    return [began_at.isoformat(), context.current_utc_datetime.isoformat()]


main = df.Orchestrator.create(napped)
