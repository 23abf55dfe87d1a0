"""The entity routes of the management API: state, list, signal, delete.

Mirrors the entity handlers of HttpApiHandler, which answer wrong arguments in the short form.
"""

from __future__ import annotations

from aiohttp import web

from durablehost.core.history_json import format_time
from durablehost.core.ids import EntityId
from durablehost.core.json_text import compact
from durablehost.engine.entity_client import EntityClient, EntityQuery, EntityRecord
from durablehost.errors import RequestError
from durablehost.large_text import call_on_text
from durablehost.web.answer import empty, json_answer, text_answer
from durablehost.web.paging import full_page
from durablehost.web.request import EdgeRequest
from durablehost.web.stored import body_to_json, json_array, json_object, shown_json

_EMPTY_KEY = "$"
_DELETE_OPERATION = "delete"


class EntityApi:
    """The handlers of the routes below `entities`."""

    def __init__(self, client: EntityClient) -> None:
        self._client = client

    async def read(self, _: EdgeRequest, parts: dict[str, str]) -> web.Response:
        state = await self._client.state(_entity(parts))
        return empty(404) if state is None else text_answer(await shown_json(state))

    async def list(self, request: EdgeRequest, parts: dict[str, str]) -> web.Response:
        wanted = EntityQuery(
            name=parts.get("name"),
            last_operation_from=request.query.time("lastOperationTimeFrom"),
            last_operation_to=request.query.time("lastOperationTimeTo"),
        )
        with_state = request.query.boolean("fetchState", False)
        records, headers = await full_page(
            request,
            lambda size, token: self._client.list(
                wanted, page_size=size, continuation_token=token, with_state=with_state
            ),
        )
        return text_answer(json_array([await _entity_json(record) for record in records]), headers=headers)

    async def signal(self, request: EdgeRequest, parts: dict[str, str]) -> web.Response:
        try:
            input_text = await _input(request)
        except RequestError as error:
            if error.status != 400:
                raise
            return _bad_request(error.detail or error.message)
        return await self._signal(request, parts, request.query.text("op") or "", input_text)

    async def delete(self, request: EdgeRequest, parts: dict[str, str]) -> web.Response:
        return await self._signal(request, parts, _DELETE_OPERATION, None)

    async def _signal(
        self, request: EdgeRequest, parts: dict[str, str], operation: str, input_text: str | None
    ) -> web.Response:
        try:
            await self._client.signal(_entity(parts), operation, input_text, trace=request.trace)
        except RequestError as error:
            return _bad_request(error.message)
        return empty(202)


def _entity(parts: dict[str, str]) -> EntityId:
    key = parts.get("key", _EMPTY_KEY)
    return EntityId.of(parts["name"], "" if key == _EMPTY_KEY else key)


async def _input(request: EdgeRequest) -> str | None:
    """The input of an operation as JSON text: a JSON body as it is, any other as one string.

    Raises:
        RequestError: 400, the content type says JSON and the body is not; 413, the body is too large.
    """
    body = await request.read_utf8()
    content_type = request.header("Content-Type").partition(";")[0].strip().lower()
    if content_type == "application/json" or not body:
        return await call_on_text(body_to_json, body)
    return compact(body.decode("utf-8", "replace"))


async def _entity_json(record: EntityRecord) -> str:
    return json_object(
        {
            "entityId": compact({"name": record.entity.name, "key": record.entity.key}),
            "lastOperationTime": compact(format_time(record.last_operation_at)),
            "state": await shown_json(record.state),
        }
    )


def _bad_request(message: str) -> web.Response:
    return json_answer({"Message": message}, status=400)
