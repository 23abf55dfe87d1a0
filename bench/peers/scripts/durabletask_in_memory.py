"""durabletask with its backend in memory: nothing is stored."""

import json

from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from durabletask.task import when_all
from durabletask.testing import create_test_backend
from durabletask.worker import TaskHubGrpcWorker
from fan_out import TIMEOUT_SECONDS, answer, free_port, numbers


def nothing(context, chunk):
    return chunk


def fan_out(context, chunks):
    results = yield when_all([context.call_activity(nothing, input=chunk) for chunk in range(chunks)])
    return len(results)


def main():
    port = free_port()
    # Three events for each activity, and some more.
    backend = create_test_backend(port=port, max_history_size=1000 + 4 * max(numbers()))
    try:
        with TaskHubGrpcWorker(host_address=f"127.0.0.1:{port}") as worker:
            worker.add_orchestrator(fan_out)
            worker.add_activity(nothing)
            worker.start()
            client = TaskHubGrpcClient(host_address=f"127.0.0.1:{port}")

            def run(chunks):
                instance_id = client.schedule_new_orchestration(fan_out, input=chunks)
                state = client.wait_for_orchestration_completion(instance_id, timeout=TIMEOUT_SECONDS)
                assert state.runtime_status == OrchestrationStatus.COMPLETED, state
                return json.loads(state.serialized_output)

            answer(run)
    finally:
        backend.stop()


if __name__ == "__main__":
    main()
