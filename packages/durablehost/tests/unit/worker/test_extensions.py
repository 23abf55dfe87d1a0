"""Worker extensions: called around each call if they are turned on, harmless if they raise."""

from __future__ import annotations

import logging

import pytest

from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.worker.conftest import AppBuilder, StartPool

SETTING = "PYTHON_ENABLE_WORKER_EXTENSIONS"
SOURCE = """
    import azure.functions as func

    seen = []

    class OfApp(func.AppExtensionBase):
        @classmethod
        def post_function_load_app_level(cls, name, folder):
            seen.append(f"app loaded {name}")

        @classmethod
        def pre_invocation_app_level(cls, logger, context, arguments):
            context.tracer = "traced"
            seen.append(f"app before {sorted(arguments)}")

        @classmethod
        def post_invocation_app_level(cls, logger, context, arguments, value):
            seen.append(f"app after {value}")

    class OfFunction(func.FuncExtensionBase):
        def __init__(self, path):
            super().__init__(path)

        def pre_invocation(self, logger, context, arguments):
            seen.append(f"function before {context.function_name}")
            arguments["input"] += 1
            logger.warning("a warning of the extension")

        def post_invocation(self, logger, context, arguments, value):
            raise ValueError("the extension failed")

    OfFunction(__file__)

    def answer(input, context):
        return [input, list(seen), context.tracer if hasattr(context, "tracer") else None]
"""
PLAIN = "def main(input, context): return answer(input, context)"
ASYNC = "async def main(input, context): return answer(input, context)"


@pytest.mark.parametrize("kind", [PLAIN, ASYNC], ids=["plain", "async"])
async def test_extensions_are_called_around_each_call(
    app: AppBuilder, start_pool: StartPool, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    app.activity("Watched", SOURCE + f"\n    {kind}\n")
    pool = await start_pool(environment={SETTING: "true", "AzureWebJobsScriptRoot": str(app.root)})
    value, seen, tracer = await pool.activity("Watched", 1)
    assert (value, tracer) == (2, "traced")
    assert seen == ["app loaded Watched", "app before ['context', 'input']", "function before Watched"]
    again = (await pool.activity("Watched", 1))[1]
    assert again[3].startswith("app after [2, ")

    def logged() -> bool:
        texts = {r.getMessage().partition("\n")[0]: (r.name, r.levelno) for r in caplog.records}
        return texts.get("a warning of the extension") == ("Host.Worker", logging.WARNING) and texts.get(
            "the extension failed"
        ) == ("Host.Worker", logging.ERROR)

    await eventually(logged)


async def test_extensions_are_off_unless_the_setting_is_on(app: AppBuilder, start_pool: StartPool) -> None:
    app.activity("Unwatched", SOURCE + f"\n    {PLAIN}\n")
    pool = await start_pool(environment={"AzureWebJobsScriptRoot": str(app.root)})
    assert await pool.activity("Unwatched", 1) == [1, [], None]
