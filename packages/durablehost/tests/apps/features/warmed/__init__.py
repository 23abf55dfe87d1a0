"""Hands an object of a class of the app to an activity, gets one back, and returns one."""

import azure.durable_functions as df
from values.temperature import Temperature


def warmed(context: df.DurableOrchestrationContext):
    warmer = yield context.call_activity("warm", Temperature(context.get_input()))
    assert isinstance(warmer, Temperature)
    return warmer.degrees


main = df.Orchestrator.create(warmed)
