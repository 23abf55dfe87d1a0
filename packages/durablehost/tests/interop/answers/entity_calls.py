"""Calls of the routes of entities, and of those of instances with the id of an entity."""

from __future__ import annotations

from packages.durablehost.tests.interop.answers.steps import JSON_TYPE, Call, Step, UntilEntity, delete, get, post


def signal(path: str, value: object = None, content_type: str = JSON_TYPE) -> Call:
    return post(f"entities/{path}", value, content_type)


def until(key: str, state: int | None) -> Step:
    return UntilEntity(keys=(key,), state=state)


ENTITIES: list[Step] = [
    get("entities/Counter/one"),
    signal("Counter/one?op=add", "3"),
    until("one", 3),
    *(get(f"entities/{path}") for path in ("Counter/one", "counter/one", "COUNTER/ONE", "Nothing/one")),
    get("instances/@counter@one?showHistory=true&showHistoryOutput=true"),
    get("instances/%40counter%40one?showInput=false"),
    get("instances?instanceIdPrefix=@counter@one"),
    signal("Counter/one?op=add", b"3", "text/plain"),
    until("one", 6),
    signal("Counter/one?op=add", b"{"),
    signal("Counter/one"),
    signal("Nothing/one?op=add", "3"),
    signal("Counter/a%23b?op=add", "3"),
    signal("Counter?op=add", "3"),
    until("", 3),
    signal("Counter/?op=add", "4"),
    until("", 7),
    get("entities/Counter/$"),
    signal("Counter/$?op=reset"),
    UntilEntity(keys=("$", ""), state=0),
    signal("Counter/two?op=add", "3"),
    until("two", 3),
    get("entities/Counter?fetchState=true&lastOperationTimeFrom=2000-01-01"),
    *(
        get(f"entities{path}")
        for path in (
            "/Counter?lastOperationTimeFrom=nonsense&lastOperationTimeTo=2000-01-01",
            "/Nothing",
            "/Nothing/",
            "/Counter?top=0",
            "/Counter?top=-1",
        )
    ),
    get("entities/Counter?top=1"),
    signal("Counter/two?op=fail", '"x"'),
    Call(method="PUT", path="entities/Counter/two"),
    post("instances/@counter@two/raiseEvent/go", b"1"),
    post("instances/@counter@two/restart"),
    post("instances/@counter@two/rewind?reason=x"),
    delete("entities/Counter/two"),
    until("two", None),
    get("entities/Counter/two"),
    get("instances/@counter@two"),
    get("entities/Counter?fetchState=true"),
    delete("instances/@counter@two"),
    get("entities/Counter/two"),
    delete("entities/Nothing/two"),
    delete("instances/@counter@nobody"),
]
