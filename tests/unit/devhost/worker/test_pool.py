"""Calls through real processes."""

from __future__ import annotations

from tests.unit.devhost.worker.conftest import AppBuilder, StartPool


async def test_an_activity_gets_its_input_and_returns_json(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("Echo", "def main(input): return {'got': input}")
    pool = await start_pool()
    assert await pool.activity("Echo", "Tokyo") == {"got": "Tokyo"}
