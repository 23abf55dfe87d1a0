"""The orchestrator; its steps are in `shared_code.orchestration`.

Changing the retry options changes what is scheduled: let running instances finish first.
"""

from __future__ import annotations

from typing import Final

import azure.durable_functions as df

from shared_code import orchestration
from shared_code.durable import Steps

# The SDK retries every exception, also those that will not pass, so the attempts are few.
RETRY_OPTIONS: Final = df.RetryOptions(first_retry_interval_in_milliseconds=1_000, max_number_of_attempts=3)


def orchestrate(context: df.DurableOrchestrationContext) -> Steps:
    return orchestration.orchestrate(context, RETRY_OPTIONS)


main = df.Orchestrator.create(orchestrate)
