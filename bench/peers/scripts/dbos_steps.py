"""DBOS with steps in one process: every result is stored, and no other process could take a part of the work."""

import asyncio
import sys

from dbos import DBOS
from fan_out import address, answer


@DBOS.step()
async def nothing(chunk):
    return chunk


@DBOS.workflow()
async def fan_out(chunks):
    return len(await asyncio.gather(*(nothing(chunk) for chunk in range(chunks))))


def main():
    DBOS(config={"name": "bench", "system_database_url": address(), "console_log_level": "ERROR"})
    DBOS.launch()
    try:
        answer(lambda chunks: asyncio.run(fan_out(chunks)))
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    sys.exit(main())
