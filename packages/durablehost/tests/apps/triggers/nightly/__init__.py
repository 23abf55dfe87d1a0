"""Starts the report of the night: once, however often the timer fires."""

import logging

import azure.durable_functions as df
import azure.functions as func


async def main(timer: func.TimerRequest, starter: str) -> None:
    client = df.DurableOrchestrationClient(starter)
    await client.start_new("report", "nightly-report", {"late": timer.past_due})
    logging.info("started the report, late: %s", timer.past_due)
