"""The frames between the host and a worker process, encoded and decoded; no I/O.

A frame is an 8-byte prefix (the sizes of header and blob), a JSON header, and a blob that holds the bytes values and
the large texts of the message, so that these are neither escaped nor copied as a whole. Mirrors the streaming
messages of the Functions RPC (FunctionRpc.proto), reduced to what durablehost needs.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, Union

from durablehost.app.invocation import Failure, HttpRequest, HttpResponse, InputValue, Invocation, InvocationResult
from durablehost.app.model import Binding, Direction
from durablehost.errors import FrameTooLarge, ProtocolError

PREFIX_SIZE = 8
# Limits what follows the prefix. To decode it, a process needs several times as much memory.
MAX_BODY_SIZE = 2**30
_PREFIX = struct.Struct("!II")
_LARGE_TEXT = 64 * 1024
_PIECE_SIZE = 1024 * 1024
# The members whose texts are payloads.
_PAYLOADS = frozenset({"inputs", "return_value", "outputs"})


@dataclass(frozen=True, kw_only=True)
class Hello:
    """The first frame of a worker process. The token proves that the host started it."""

    token: str


@dataclass(frozen=True, kw_only=True)
class FunctionToLoad:
    """What a worker process has to know about a function; all paths are absolute."""

    name: str
    folder: str
    script_file: str
    entry_point: str
    bindings: tuple[Binding, ...]


@dataclass(frozen=True, kw_only=True)
class Load:
    """Asks for the app below `root` to be imported."""

    root: str
    thread_count: int
    functions: tuple[FunctionToLoad, ...]


@dataclass(frozen=True, kw_only=True)
class Loading:
    """The import of this function begins. If the process ends now, the function has ended it."""

    function_name: str


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The app is imported, but for the functions named in `failures`."""

    failures: Mapping[str, Failure] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Invoke:
    """Asks for one call."""

    invocation: Invocation


@dataclass(frozen=True, kw_only=True)
class Result:
    """How the call ended. Every log record of the call was sent before."""

    invocation_id: str
    result: InvocationResult


@dataclass(frozen=True, kw_only=True)
class Recall:
    """Takes back every call that waits for a thread."""


@dataclass(frozen=True, kw_only=True)
class Recalled:
    """The call was taken back before it began; it has no other result."""

    invocation_id: str


@dataclass(frozen=True, kw_only=True)
class Log:
    """A record of Python logging; `function_name` and `invocation_id` None: it belongs to no running call."""

    function_name: str | None
    invocation_id: str | None
    logger: str
    level: int
    message: str


@dataclass(frozen=True, kw_only=True)
class Ping:
    """Asks whether the process is alive."""


@dataclass(frozen=True, kw_only=True)
class Pong:
    """The process is alive."""


@dataclass(frozen=True, kw_only=True)
class Shutdown:
    """Asks the process to end."""


Message = Union[  # noqa: UP007
    Hello, Load, Loading, Loaded, Invoke, Result, Recall, Recalled, Log, Ping, Pong, Shutdown
]


class Frame:
    """An encoded message of `size` bytes, which come in pieces, so that a large payload is never copied as a whole.

    Raises:
        FrameTooLarge: on construction.
    """

    def __init__(self, message: Message) -> None:
        blob = _Blob()
        header = {"type": type(message).__name__, **_plain_fields(message, blob)}
        body = json.dumps(header, separators=(",", ":")).encode("ascii")
        if len(body) + blob.size > MAX_BODY_SIZE:
            raise FrameTooLarge(len(body) + blob.size, MAX_BODY_SIZE)
        self._head = _PREFIX.pack(len(body), blob.size) + body
        self._blob = blob
        self.size = len(self._head) + blob.size

    def __iter__(self) -> Iterator[bytes | memoryview]:
        yield self._head
        yield from self._blob.pieces()


class _Blob:
    """The bytes and the large texts of a message, encoded only when they are sent."""

    def __init__(self) -> None:
        self._values: list[bytes | str] = []
        self.size = 0

    def add(self, value: bytes | str) -> list[int]:
        """Adds a value, and returns its start and its size in the blob."""
        start = self.size
        is_plain = isinstance(value, bytes) or value.isascii()
        self.size += len(value) if is_plain else sum(map(len, _pieces(value)))
        self._values.append(value)
        return [start, self.size - start]

    def pieces(self) -> Iterator[bytes | memoryview]:
        for value in self._values:
            yield from _pieces(value)


def _pieces(value: bytes | str) -> Iterator[bytes | memoryview]:
    if isinstance(value, str):
        for start in range(0, len(value), _PIECE_SIZE):
            yield value[start : start + _PIECE_SIZE].encode("utf-8", "surrogatepass")
    else:
        view = memoryview(value)
        for start in range(0, len(value), _PIECE_SIZE):
            yield view[start : start + _PIECE_SIZE]


def encode(message: Message) -> bytes:
    """The whole frame, for a message that is small."""
    return b"".join(Frame(message))


def body_size(prefix: bytes) -> int:
    """How many bytes follow the prefix."""
    header_size, blob_size = _PREFIX.unpack(prefix)
    size: int = header_size + blob_size
    if size > MAX_BODY_SIZE:
        raise ProtocolError(f"a frame announces {size} bytes")
    return size


def decode(prefix: bytes, body: bytes) -> Message:
    """Raises `ProtocolError` for anything that `encode` does not make."""
    header_size, _ = _PREFIX.unpack(prefix)
    view = memoryview(body)
    try:
        header = json.loads(str(view[:header_size], "ascii"))
        return _DECODERS[header["type"]](header, view[header_size:])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProtocolError(f"a frame cannot be understood: {error!r}") from error


def _plain_fields(value: object, blob: _Blob) -> dict[str, Any]:
    return {
        f.name: _plain(getattr(value, f.name), blob, is_payload=f.name in _PAYLOADS)
        for f in fields(value)  # type: ignore[arg-type]
    }


def _plain(value: object, blob: _Blob, *, is_payload: bool = False) -> object:
    if isinstance(value, bytes) or (is_payload and isinstance(value, str) and len(value) > _LARGE_TEXT):
        return blob.add(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: _plain(member, blob, is_payload=is_payload) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(member, blob) for member in value]
    if is_dataclass(value):
        return _plain_fields(value, blob)
    return value


def _part(span: Sequence[int], blob: memoryview) -> memoryview:
    start, size = span
    if start < 0 or size < 0 or start + size > len(blob):
        raise ValueError(f"bytes {start}+{size} lie outside of the blob")
    return blob[start : start + size]


def _bytes(span: Sequence[int], blob: memoryview) -> bytes:
    return bytes(_part(span, blob))


def _text(value: Any, blob: memoryview) -> Any:
    """A payload: a large one is in the blob."""
    return str(_part(value, blob), "utf-8", "surrogatepass") if isinstance(value, list) else value


def _binding(value: Mapping[str, Any]) -> Binding:
    return Binding(**{**value, "direction": Direction(value["direction"])})


def _function(value: Mapping[str, Any]) -> FunctionToLoad:
    return FunctionToLoad(**{**value, "bindings": tuple(_binding(binding) for binding in value["bindings"])})


def _load(value: Mapping[str, Any], _: memoryview) -> Load:
    return Load(
        root=value["root"],
        thread_count=value["thread_count"],
        functions=tuple(_function(function) for function in value["functions"]),
    )


def _loaded(value: Mapping[str, Any], _: memoryview) -> Loaded:
    return Loaded(failures={name: Failure(**failure) for name, failure in value["failures"].items()})


def _input(value: Any, blob: memoryview) -> InputValue:
    if value is None or isinstance(value, (str, list)):
        return _text(value, blob)  # type: ignore[no-any-return]
    return HttpRequest(**{**value, "body": _bytes(value["body"], blob)})


def _invoke(value: Mapping[str, Any], blob: memoryview) -> Invoke:
    invocation = value["invocation"]
    inputs = {name: _input(given, blob) for name, given in invocation["inputs"].items()}
    return Invoke(invocation=Invocation(**{**invocation, "inputs": inputs}))


def _response(value: Mapping[str, Any], blob: memoryview) -> HttpResponse:
    return HttpResponse(**{**value, "body": _bytes(value["body"], blob), "cookies": tuple(value["cookies"])})


def _result(value: Mapping[str, Any], blob: memoryview) -> Result:
    result = value["result"]
    return Result(
        invocation_id=value["invocation_id"],
        result=InvocationResult(
            return_value=_text(result["return_value"], blob),
            response=None if result["response"] is None else _response(result["response"], blob),
            outputs={name: _text(value, blob) for name, value in result["outputs"].items()},
            failure=None if result["failure"] is None else Failure(**result["failure"]),
        ),
    )


def _flat(message_type: type[Message]) -> Callable[[Mapping[str, Any], memoryview], Message]:
    return lambda value, _: message_type(**{name: member for name, member in value.items() if name != "type"})


_FLAT: tuple[type[Message], ...] = (Hello, Loading, Recall, Recalled, Log, Ping, Pong, Shutdown)

_DECODERS: Mapping[str, Callable[[Mapping[str, Any], memoryview], Message]] = {
    **{message_type.__name__: _flat(message_type) for message_type in _FLAT},
    "Load": _load,
    "Loaded": _loaded,
    "Invoke": _invoke,
    "Result": _result,
}
