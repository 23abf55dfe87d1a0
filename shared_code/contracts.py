"""The inputs of the app: the values that arrive over HTTP or from the orchestration, and the checks of their JSON.

The rule of this file: every value enters the app through `from_json`, and all problems of a value are reported at once,
each with its field. The names in JSON are those of the fields.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from shared_code.instants import format_instant, parse_instant
from shared_code.windows import Window

JsonValue = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None
JsonObject = dict[str, JsonValue]

MAX_CHUNKS: Final = 10_000
# In seconds. Beyond six days the SDK would chain several timers, which cannot be awaited with others.
MAX_CHUNK_TIMEOUT: Final = 86_400
MAX_INSTANCE_ID_LENGTH: Final = 256
# A body may have thousands of unknown fields, which the answer must not repeat.
MAX_PROBLEMS: Final = 50
MAX_TARGET_LENGTH: Final = 100
LISTING_VERSION: Final = r"^[0-9a-f]{16}$"
# An instance id becomes a path segment of the management URLs as it is, so it has no character that a URL escapes.
_INSTANCE_ID: Final = re.compile(r"(?!@)[!-~]+")
_NOT_IN_INSTANCE_ID: Final = frozenset('/\\#?%"<>')

ContractT = TypeVar("ContractT", bound="Contract")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem of a value: the field, and what is wrong with it."""

    target: str
    message: str


class InvalidInput(ValueError):
    """A value does not fit its contract; `problems` has every reason."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(f"{problem.target}: {problem.message}" for problem in problems))
        self.problems = problems


def _to_instant(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a string with an ISO-8601 date and time")
    return parse_instant(value)


def _to_instance_id(value: str) -> str:
    if len(value) > MAX_INSTANCE_ID_LENGTH:
        raise ValueError(f"must have at most {MAX_INSTANCE_ID_LENGTH} characters")
    if not _INSTANCE_ID.fullmatch(value) or _NOT_IN_INSTANCE_ID.intersection(value) or value in {".", ".."}:
        raise ValueError(
            'must be visible ASCII characters without / \\ # ? % " < > and must not begin with @, nor be . or ..'
        )
    return value


def _refuse_null(value: object) -> object:
    if value is None:
        raise ValueError("must not be null; leave the field out instead")
    return value


Instant = Annotated[
    datetime, BeforeValidator(_to_instant), PlainSerializer(format_instant, return_type=str, when_used="json")
]
InstanceId = Annotated[str, AfterValidator(_to_instance_id)]
_NotNull = BeforeValidator(_refuse_null)


class Contract(BaseModel):
    """Strict (a boolean is no number, text is no integer), frozen, and closed to unknown fields."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def from_json(cls: type[ContractT], value: object) -> ContractT:
        """Makes this contract from a value that `json.loads` has returned.

        Raises:
            InvalidInput: with every problem found.
        """
        if not isinstance(value, dict):
            raise InvalidInput(Problem(target="body", message="must be a JSON object"))
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise InvalidInput(*_problems(error)) from None

    def to_json(self) -> JsonObject:
        return self.model_dump(mode="json", exclude_none=True)


def _problems(error: ValidationError) -> list[Problem]:
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    problems = [
        Problem(
            target=".".join(map(str, each["loc"]))[:MAX_TARGET_LENGTH] or "''",
            message=each["msg"].removeprefix("Value error, "),
        )
        for each in errors[:MAX_PROBLEMS]
    ]
    if len(errors) > MAX_PROBLEMS:
        problems.append(Problem(target="body", message=f"and {len(errors) - MAX_PROBLEMS} more problems"))
    return problems


class _Timespan(Contract):
    start: Instant
    end: Instant

    @field_validator("end", mode="after")
    @classmethod
    def _comes_after_start(cls, end: datetime, known: ValidationInfo) -> datetime:
        # On the field, not on the model: model validators do not run while another field is wrong.
        start = known.data.get("start")
        if start is not None and end <= start:
            raise ValueError("must be later than start")
        return end

    @property
    def window(self) -> Window:
        return Window(start=self.start, end=self.end)


class _RunOptions(Contract):
    """What a request may choose of a run, beside its window."""

    instance_id: Annotated[InstanceId | None, _NotNull] = None
    max_failed_chunks: Annotated[int | None, _NotNull, Field(ge=0, le=MAX_CHUNKS)] = None
    max_failed_percent: Annotated[float | None, _NotNull, Field(ge=0, le=100)] = None
    max_parallel: Annotated[int | None, _NotNull, Field(ge=1, le=MAX_CHUNKS)] = None
    chunk_timeout: Annotated[float | None, _NotNull, Field(gt=0, le=MAX_CHUNK_TIMEOUT)] = None
    allow_changed_readings: Annotated[bool | None, _NotNull] = None


class RunRequest(_Timespan, _RunOptions):
    """The request for a run: the body of the starter and the input of the orchestrator."""

    total_chunks: int = Field(ge=1, le=MAX_CHUNKS)
    time: Annotated[Instant | None, _NotNull] = None

    @field_validator("total_chunks", mode="after")
    @classmethod
    def _leaves_no_chunk_empty(cls, total_chunks: int, known: ValidationInfo) -> int:
        start, end = known.data.get("start"), known.data.get("end")
        if start is not None and end is not None:
            microseconds = Window(start=start, end=end).microseconds
            if total_chunks > microseconds:
                raise ValueError(f"must be no more than the window's {microseconds} microseconds")
        return total_chunks


class ResumeRequest(_RunOptions):
    """The request to resume a run: the body of the starter. What it leaves out is that of the earlier run."""

    resume_of: InstanceId
    start: Annotated[Instant | None, _NotNull] = None
    end: Annotated[Instant | None, _NotNull] = None
    total_chunks: Annotated[int | None, _NotNull] = None
    time: Annotated[Instant | None, _NotNull] = None


def read_request(value: object) -> RunRequest | ResumeRequest:
    """The request in the body of the starter.

    Raises:
        InvalidInput: with every problem found.
    """
    is_resumption = isinstance(value, dict) and "resume_of" in value
    return ResumeRequest.from_json(value) if is_resumption else RunRequest.from_json(value)


class RunName(Contract):
    """Tells a run from all others, also from those that have the same instance id."""

    instance_id: str = Field(min_length=1)
    started: Instant


class RunPlan(Contract):
    """What was decided once at the beginning of a run, and is the same for all its chunks.

    `listing` is the version of the recorded listing of the readings; null if there are no files. `run` names the stored
    results; null if the settings name no place for them.
    """

    listing: Annotated[str | None, Field(pattern=LISTING_VERSION)] = None
    run: RunName | None = None


class StoredChunks(Contract):
    """Chunks of an earlier run, whose stored results become part of those of a run that resumes it."""

    run: RunName
    chunk_ids: list[int]


class RunStart(_Timespan):
    """The input of the activity that makes the plan; `start` and `end` are the window of the run."""

    run: RunName
    kept: StoredChunks | None = None


class RunInput(RunRequest):
    """The input of the orchestrator: the request, and whether an activity has to make a plan first."""

    prepare: Annotated[bool | None, _NotNull] = None
    plan: Annotated[RunPlan | None, _NotNull] = None


class ChunkGroup(Contract):
    """The input of a sub-orchestration: some chunks of a request too large for one history.

    They are those from `first_chunk` on, or, with gaps between them, the `chunk_ids`, in ascending order.
    """

    request: RunInput
    first_chunk: int = Field(ge=0)
    chunk_count: int = Field(ge=1, le=MAX_CHUNKS)
    chunk_ids: list[int] | None = None

    @classmethod
    def of(cls, request: RunInput, ids: list[int]) -> ChunkGroup:
        has_gaps = ids[-1] - ids[0] >= len(ids)
        return cls(request=request, first_chunk=ids[0], chunk_count=len(ids), chunk_ids=list(ids) if has_gaps else None)

    @property
    def ids(self) -> list[int]:
        return self.chunk_ids or list(range(self.first_chunk, self.first_chunk + self.chunk_count))


class ChunkInput(_Timespan):
    """The activity's input; `start` and `end` are the chunk's own window."""

    chunk_id: int = Field(ge=0)
    total_chunks: int = Field(ge=1, le=MAX_CHUNKS)
    time: Instant
    plan: RunPlan | None = None
    allow_changed_readings: bool | None = None
