"""The entity routes of the management API: state, list, signal, delete.

Mirrors the entity handlers of HttpApiHandler. Wrong arguments are told in the short form here.
"""

from __future__ import annotations

from aiohttp import web

from devhost.core.history_json import format_time
from devhost.core.ids import EntityId
from devhost.core.json_text import compact
from devhost.engine.entity_client import EntityClient, EntityPage, EntityQuery, EntityRecord
from devhost.errors import RequestError
from devhost.web.answer import empty, json_answer, text_answer
from devhost.web.page_token import token_from_header, token_to_header
from devhost.web.request import EdgeRequest
from devhost.web.stored import NULL, body_to_input, json_array, json_object, stored_json

_TOKEN_HEADER = "x-ms-continuation-token"
_PAGE_SIZE = 100
_LARGEST_STORAGE_PAGE = 1000  # a table answers no query for more
_EMPTY_KEY = "$"
_DELETE_OPERATION = "delete"


class EntityApi:
    """The handlers of the routes below `entities`."""

    def __init__(self, client: EntityClient) -> None:
        self._client = client

    async def read(self, _: EdgeRequest, parts: dict[str, str]) -> web.Response:
        state = await self._client.state(_entity(parts))
        return empty(404) if state is None else text_answer(stored_json(state))

    async def list(self, request: EdgeRequest, parts: dict[str, str]) -> web.Response:
        query = request.query
        page = await self._fill_page(
            EntityQuery(
                name=parts.get("name"),
                last_operation_from=query.time("lastOperationTimeFrom"),
                last_operation_to=query.time("lastOperationTimeTo"),
            ),
            page_size=query.positive_integer("top", _PAGE_SIZE),
            continuation_token=token_from_header(request.header(_TOKEN_HEADER)),
            with_state=query.boolean("fetchState", False),
        )
        body = json_array(map(_entity_json, page.records))
        return text_answer(body, headers={_TOKEN_HEADER: token_to_header(page.continuation_token)})

    async def _fill_page(
        self, query: EntityQuery, *, page_size: int, continuation_token: str | None, with_state: bool
    ) -> EntityPage:
        """A full page where there is one; deleted entities take no place in it."""
        records: list[EntityRecord] = []
        while True:
            page = await self._client.list(
                query,
                page_size=min(page_size - len(records), _LARGEST_STORAGE_PAGE),
                continuation_token=continuation_token,
                with_state=with_state,
            )
            records.extend(page.records)
            continuation_token = page.continuation_token
            if continuation_token is None or len(records) >= page_size:
                return EntityPage(records=tuple(records), continuation_token=continuation_token)

    async def signal(self, request: EdgeRequest, parts: dict[str, str]) -> web.Response:
        try:
            input_text = await _input(request)
        except RequestError as error:
            if error.status != 400:
                raise
            return _bad_request(error.detail or error.message)
        return await self._signal(parts, request.query.text("op") or "", input_text)

    async def delete(self, _: EdgeRequest, parts: dict[str, str]) -> web.Response:
        return await self._signal(parts, _DELETE_OPERATION, None)

    async def _signal(self, parts: dict[str, str], operation: str, input_text: str | None) -> web.Response:
        try:
            await self._client.signal(_entity(parts), operation, input_text)
        except RequestError as error:
            return _bad_request(error.message)
        return empty(202)


def _entity(parts: dict[str, str]) -> EntityId:
    key = parts["key"]
    return EntityId.of(parts["name"], "" if key == _EMPTY_KEY else key)


async def _input(request: EdgeRequest) -> str | None:
    """The input of an operation as JSON text: a JSON body as it is, any other as one string.

    Raises:
        RequestError: 400, where a body that says it is JSON is not; 413, where it is too large.
    """
    body = await request.read()
    content_type = request.header("Content-Type").partition(";")[0].strip().lower()
    if content_type == "application/json" or not body:
        return body_to_input(body)
    return compact(body.decode("utf-8", "replace"))


def _entity_json(record: EntityRecord) -> str:
    return json_object(
        {
            "entityId": compact({"name": record.entity.name, "key": record.entity.key}),
            "lastOperationTime": compact(format_time(record.last_operation_at)),
            "state": NULL if record.state is None else stored_json(record.state),
        }
    )


def _bad_request(message: str) -> web.Response:
    return json_answer({"Message": message}, status=400)
