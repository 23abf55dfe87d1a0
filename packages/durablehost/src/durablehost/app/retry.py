"""The `retry` and `configurationSource` members of function.json: checked; the triggers served ignore them."""

from __future__ import annotations

from durablehost.app.invalid import InvalidFunctionError
from durablehost.types import JsonObject, JsonValue

_REQUIRED_BY_STRATEGY = {
    "fixeddelay": ("maxRetryCount", "delayInterval"),
    "exponentialbackoff": ("maxRetryCount", "minimumInterval", "maximumInterval"),
}


def check_retry(retry: JsonValue) -> None:
    """Raises `InvalidFunctionError` if a member is missing or the strategy unknown."""
    if retry is None:
        return
    if not isinstance(retry, dict):
        raise InvalidFunctionError("The 'retry' property must be a JSON object.")
    members = {str(key).lower() for key, value in retry.items() if value is not None}
    strategy = next((value for key, value in retry.items() if str(key).lower() == "strategy"), None)
    required = _REQUIRED_BY_STRATEGY.get(str(strategy).lower())
    if required is None:
        raise InvalidFunctionError(
            f"Illegal value '{strategy}' for 'retry.strategy': it must be 'fixedDelay' or 'exponentialBackoff'."
        )
    missing = next((name for name in required if name.lower() not in members), None)
    if missing is not None:
        raise InvalidFunctionError(f"The 'retry' property with strategy '{strategy}' must have '{missing}'.")


def check_configuration_source(config: JsonObject, function_name: str) -> None:
    """Raises `InvalidFunctionError` for a value that the host does not know."""
    source = config.get("configurationSource")
    if source is not None and str(source).lower() not in ("attributes", "config"):
        raise InvalidFunctionError(f"Illegal value '{source}' for 'configurationSource' property in {function_name}.")
