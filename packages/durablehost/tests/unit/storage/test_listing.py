"""Which tables are those of a task hub."""

from __future__ import annotations

from durablehost.storage.hub.listing import hubs_among


def test_a_hub_has_a_table_of_instances_and_one_of_histories() -> None:
    tables = ["OrdersInstances", "OrdersHistory", "OrdersPartitions", "BInstances", "Instances", "History", "Other"]
    assert hubs_among(tables) == ("Orders",)


def test_hubs_are_sorted_and_keep_the_spelling_of_their_tables() -> None:
    assert hubs_among(["zInstances", "zhistory", "myHubInstances", "myHubHistory"]) == ("myHub", "z")
