"""DBOS with a queue, as a fleet of workers would use it: an activity is stored, taken from the queue, and stored again.

It looks into the database every 50 milliseconds, not every second, or these pauses would be all there is to see.
"""

import sys

from dbos import DBOS
from fan_out import address, answer

PAUSE_SECONDS = 0.05
QUEUE = "bench"


@DBOS.workflow()
def nothing(chunk):
    return chunk


@DBOS.workflow()
def fan_out(chunks):
    queue = DBOS.retrieve_queue(QUEUE)
    handles = [queue.enqueue(nothing, chunk) for chunk in range(chunks)]
    return len([handle.get_result(polling_interval_sec=PAUSE_SECONDS) for handle in handles])


def main():
    DBOS(config={"name": "bench", "system_database_url": address(), "console_log_level": "ERROR"})
    DBOS.launch()
    try:
        DBOS.register_queue(QUEUE, polling_interval_sec=PAUSE_SECONDS)
        answer(lambda chunks: DBOS.start_workflow(fan_out, chunks).get_result(polling_interval_sec=PAUSE_SECONDS))
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    sys.exit(main())
