"""The names of the resources of a task hub, against the test vectors of the provider."""

from __future__ import annotations

import pytest

from durablehost.storage.account.names import (
    HubNames,
    blob_folder,
    escape_key,
    history_blob,
    message_blob,
    row_key,
    unescape_key,
)


def test_tables_keep_the_case_of_the_hub_and_all_else_is_lower_case() -> None:
    names = HubNames("ShopHub")
    assert (names.history_table, names.instances_table, names.partitions_table) == (
        "ShopHubHistory",
        "ShopHubInstances",
        "ShopHubPartitions",
    )
    assert names.control_queue(2) == "shophub-control-02"
    assert names.control_queue(15) == "shophub-control-15"
    assert names.work_item_queue == "shophub-workitems"
    assert names.large_messages_container == "shophub-largemessages"
    assert (names.app_lease_container, names.app_lease_blob) == ("shophub-applease", "shophub-appleaseinfo")


@pytest.mark.parametrize(
    ("instance_id", "key"),
    [
        ("order-42", "order-42"),
        ("tenant/7?x#1^", "tenant^07^3x^21^^"),
        ("a\tb", "a^Éb"),
        ("back\\slash", "back^1slash"),
        ("\x00\x1f\x7f\x9f", "^À^ß^Ŀ^ş"),
        ("@counter@alice", "@counter@alice"),
        ("it's é 日本", "it's é 日本"),
    ],
)
def test_an_instance_id_is_escaped_as_the_provider_does(instance_id: str, key: str) -> None:
    assert escape_key(instance_id) == key
    assert unescape_key(key) == instance_id


def test_row_keys_are_sixteen_upper_case_hex_digits() -> None:
    assert row_key(0) == "0000000000000000"
    assert row_key(10) == "000000000000000A"
    assert row_key(250) < row_key(251) < "sentinel"


def test_blobs_are_named_after_their_content() -> None:
    activity_id = "3c5f0a7e-52b1-4d0e-9f0b-6f6b0d1f2a11"
    assert (
        message_blob("order-42", activity_id, "ExecutionStarted")
        == "order-42/message-3c5f0a7e52b14d0e9f0b6f6b0d1f2a11-ExecutionStarted.json.gz"
    )
    assert (
        history_blob("order-42", row_key(1), "ExecutionStarted", "4b1d09af", "Input")
        == "order-42/history-0000000000000001-ExecutionStarted-4B1D09AF-Input.json.gz"
    )


@pytest.mark.parametrize(
    ("instance_id", "folder"),
    [
        ("a/b?c#d %", "a/b?c#d %"),
        ("..", "^.."),
        ("a/./b/../c..", "a/^./b/^../c.."),
        ("a\\b", "a^1b"),
        ("a\0\x9f", "a^\xc0^\u015f"),
        ("\ufffe\uffff", "^e^f"),
    ],
)
def test_blob_folders_escape_only_characters_that_a_url_cannot_contain(instance_id: str, folder: str) -> None:
    assert blob_folder(instance_id) == folder
