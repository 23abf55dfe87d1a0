"""The orchestrator; its steps are in `shared_code.orchestration`."""

from __future__ import annotations

import azure.durable_functions as df

from shared_code import orchestration
from shared_code.durable import Steps


def orchestrate(context: df.DurableOrchestrationContext) -> Steps:
    return orchestration.orchestrate(context)


main = df.Orchestrator.create(orchestrate)
