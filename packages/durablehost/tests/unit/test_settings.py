"""How host.json, local.settings.json, the environment and the command line become the settings of a start."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from durablehost import lenient_json
from durablehost.core.rules import Rules
from durablehost.core.status import RuntimeStatus
from durablehost.errors import ConfigurationError
from durablehost.settings import LogLevel, Settings, StartOptions, find_script_root, load_settings
from durablehost.settings.configuration import format_time_span, parse_time_span
from durablehost.types import JsonObject, JsonValue

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads settings from files with this content: text as it is, anything else as JSON, None for no file."""

    def load_files(
        host: JsonValue = None,
        local: JsonValue = None,
        environment: Mapping[str, str] | None = None,
        options: Mapping[str, object] | None = None,
    ) -> Settings:
        for name, content in (("host.json", host or {"version": "2.0"}), ("local.settings.json", local)):
            if content is not None:
                text = content if isinstance(content, str) else json.dumps(content)
                (tmp_path / name).write_text(text, "utf-8")
        return load_settings(StartOptions(script_root=tmp_path, **(options or {})), environment or {})  # type: ignore[arg-type]

    return load_files


def durable(**keys: JsonValue) -> JsonValue:
    return {"version": "2.0", "extensions": {"durableTask": keys}}


def provider(**keys: JsonValue) -> JsonValue:
    return durable(storageProvider=keys)


def plain(**values: JsonValue) -> JsonValue:
    return {"IsEncrypted": False, "Values": values}


class TestScriptRoot:
    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rules")
    def test_is_no_folder_above_to_which_others_can_write(self, tmp_path: Path) -> None:
        shared, app = tmp_path / "shared", tmp_path / "shared" / "app"
        app.mkdir(parents=True)
        (shared / "host.json").write_text("{}")
        shared.chmod(0o777)
        with pytest.raises(ConfigurationError, match="other users can write do not count"):
            find_script_root(app)
        assert find_script_root(shared) == shared.resolve()

    def test_is_the_nearest_folder_upwards_with_a_host_json(self, tmp_path: Path) -> None:
        (tmp_path / "host.json").write_text("{}")
        below = tmp_path / "a" / "b"
        below.mkdir(parents=True)
        assert find_script_root(below) == tmp_path.resolve()

    def test_is_found_by_local_settings_alone(self, tmp_path: Path) -> None:
        (tmp_path / "local.settings.json").write_text("{}")
        assert find_script_root(tmp_path) == tmp_path.resolve()

    def test_that_is_not_found_is_refused_with_the_option_that_helps(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"no host\.json and no local\.settings\.json.*--script-root"):
            find_script_root(tmp_path)

    def test_that_does_not_exist_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="there is no folder"):
            load_settings(StartOptions(script_root=tmp_path / "nowhere"), {})


class TestHostJson:
    def test_defaults_are_those_of_the_functions_host(self, load: Load) -> None:
        settings = load()
        assert settings.http.port == 7071
        assert settings.http.address == "127.0.0.1"
        assert settings.http.route_prefix == "api"
        assert settings.durable.hub_name == "TestHubName"
        assert settings.durable.overridable_states == {
            RuntimeStatus.COMPLETED,
            RuntimeStatus.FAILED,
            RuntimeStatus.CANCELED,
            RuntimeStatus.TERMINATED,
        }
        assert settings.worker.function_timeout_seconds == 1800
        assert settings.storage.partition_count == 4
        assert settings.storage.connection == {}
        assert settings.warnings == ()

    def test_that_is_missing_gives_defaults_a_warning_and_is_not_written(self, tmp_path: Path) -> None:
        settings = load_settings(StartOptions(script_root=tmp_path), {})
        assert settings.durable.hub_name == "TestHubName"
        assert any("no host.json" in warning for warning in settings.warnings)
        assert list(tmp_path.iterdir()) == []

    def test_that_is_an_empty_object_gives_defaults_without_a_bundle(self, load: Load) -> None:
        settings = load("{}")
        assert (settings.durable.hub_name, settings.has_bundle) == ("TestHubName", False)

    @pytest.mark.parametrize("written", [12, "12", " 12 ", 12.0])
    def test_numbers_may_be_written_as_dotnet_reads_them(self, load: Load, written: JsonValue) -> None:
        host: JsonObject = {
            "version": "2.0",
            "extensions": {"durabletask": {"MaxConcurrentActivityFunctions": written}},
        }
        assert load(host).durable.max_concurrent_activities == 12

    @pytest.mark.parametrize("written", [True, "true", " TRUE "])
    def test_booleans_may_be_written_as_dotnet_reads_them(self, load: Load, written: JsonValue) -> None:
        assert load(durable(storeInputsInOrchestrationHistory=written)).durable.rules.stores_inputs

    @pytest.mark.parametrize(("written", "text"), [("2.0", "2.0"), (2, "2"), (2.0, "2"), (2.5, "2.5"), (True, "True")])
    def test_text_may_be_written_as_a_number_or_a_boolean(self, load: Load, written: JsonValue, text: str) -> None:
        assert load(durable(defaultVersion=written)).durable.rules.default_version == text

    def test_may_contain_comments_trailing_commas_and_a_byte_order_mark(self, load: Load) -> None:
        text = '\ufeff{ // the schema\n "version": "2.0", /* not\n this: */ "functions": ["a//b", "c,]",], }'
        assert load(text).functions == ("a//b", "c,]")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ('{"version": "2.0",\n  "x" 1}', r"host\.json is not valid JSON: .*line 2, column 7"),
            ("[1]", r"host\.json must contain a JSON object"),
            ('{"functionTimeout": "00:05:00"}', "missing the required key version"),
            ('{"version": "3.0"}', r'version is "3\.0"; it must be "2\.0"'),
            ('{"version": 2.0}', r"version is 2\.0; it must be"),
        ],
    )
    def test_that_is_invalid_is_refused_in_one_line(self, load: Load, content: str, message: str) -> None:
        with pytest.raises(ConfigurationError, match=message) as caught:
            load(content)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"extensions": "x"}, 'extensions is "x"; it must be an object'),
            ({"extensions": {"durableTask": 5}}, "extensions.durableTask is 5; it must be an object"),
            ({"extensions": {"http": {"customHeaders": True}}}, "customHeaders is true; it must be an object"),
            ({"extensions": {"http": {"routePrefix": {"a": 1}}}}, "routePrefix must be a single value"),
            ({"extensions": {"durableTask": {"hubName": ["MyHub"]}}}, "hubName must be a single value"),
            ({"logging": {"logLevel": "Debug"}}, 'logLevel is "Debug"; it must be an object'),
            ({"functions": "Hello"}, 'functions is "Hello"; it must be an array of strings'),
            ({"functionTimeout": ["00:05:00"]}, "functionTimeout must be a single value"),
            ({"extensionBundle": "x"}, 'extensionBundle is "x"; it must be an object'),
        ],
    )
    def test_a_value_of_another_kind_is_refused_by_name(self, load: Load, content: JsonObject, message: str) -> None:
        with pytest.raises(ConfigurationError, match=rf"host\.json: .*{re.escape(message)}"):
            load({"version": "2.0", **content})

    @pytest.mark.parametrize("empty", [None, "", [], {}])
    def test_an_empty_value_in_place_of_a_section_counts_as_absent(self, load: Load, empty: JsonValue) -> None:
        assert load({"version": "2.0", "extensions": empty, "logging": empty}).durable.hub_name == "TestHubName"
        assert load(durable(storageProvider=empty)).storage.partition_count == 4

    def test_in_a_folder_that_cannot_be_searched_is_refused_by_name(
        self, load: Load, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: Path) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

        monkeypatch.setattr(lenient_json, "_check", refuse)
        with pytest.raises(ConfigurationError, match=r"settings\.json cannot be read: Permission denied"):
            load()

    @pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes in folders")
    @pytest.mark.parametrize("name", ["host.json", "local.settings.json"])
    def test_that_is_a_pipe_is_refused(self, tmp_path: Path, name: str) -> None:
        os.mkfifo(tmp_path / name)
        with pytest.raises(ConfigurationError, match=rf"{re.escape(name)} cannot be read: it is a pipe, not a file\."):
            load_settings(StartOptions(script_root=tmp_path), {})

    @pytest.mark.parametrize(
        ("content", "warning"),
        [
            ({"durableTask": {"hubName": "Mine"}}, '"durableTask" has no effect; it belongs in "extensions".'),
            ({"HTTP": {"routePrefix": ""}}, '"HTTP" has no effect; it belongs in "extensions".'),
            ({"extension": {"durableTask": {}}}, '"extension" has no effect; write "extensions".'),
            ({"extensionBundles": {}}, '"extensionBundles" has no effect; write "extensionBundle".'),
            (
                {"extensions": {"durableTasks": {"hubName": "Mine"}}},
                '"durableTasks" in "extensions" has no effect; write "durableTask".',
            ),
            (
                {"Extensions": {"DurableTask": {"taskHubName": "Mine"}}},
                '"taskHubName" in "extensions.durableTask" has no effect; write "hubName".',
            ),
            (
                {"extensions": {"durableTask": {"maxConcurentActivityFunctions": 4}}},
                '"maxConcurentActivityFunctions" in "extensions.durableTask" has no effect; '
                'write "maxConcurrentActivityFunctions".',
            ),
            (
                {"extensions": {"durableTask": {"storageProvider": {"partitions": 1}}}},
                '"partitions" in "extensions.durableTask.storageProvider" has no effect; write "partitionCount".',
            ),
            (
                {"extensions": {"durableTask": {"partitionCount": 1}}},
                '"partitionCount" in "extensions.durableTask" has no effect; '
                'it belongs in "extensions.durableTask.storageProvider".',
            ),
            (
                {"extensions": {"durableTask": {"storageProvider": {"HubName": "Mine"}}}},
                '"HubName" in "extensions.durableTask.storageProvider" has no effect; '
                'it belongs in "extensions.durableTask".',
            ),
        ],
        ids=[
            "section at the top",
            "in another case",
            "extension",
            "bundles",
            "durableTasks",
            "taskHubName",
            "durable setting",
            "storage setting",
            "storage setting outside",
            "durable setting inside",
        ],
    )
    def test_name_that_is_misplaced_or_misspelled_is_logged(
        self, load: Load, content: JsonObject, warning: str, tmp_path: Path
    ) -> None:
        settings = load({"version": "2.0", **content})
        assert settings.warnings == (f"{tmp_path / 'host.json'}: {warning}",)
        assert settings.durable.hub_name == "TestHubName"

    def test_names_of_other_extensions_are_not_logged(self, load: Load) -> None:
        others = ("blobs", "queues", "eventHubs", "serviceBus", "cosmosDB", "signalR", "sendGrid", "kafka")
        content = {"version": "2.0", "logging": {}, "concurrency": {}, "customHandler": {}, "retry": {}}
        assert load({**content, "extensions": {name: {} for name in others}}).warnings == ()

    def test_settings_that_durablehost_does_not_need_are_not_logged(self, load: Load) -> None:
        durable = {"useGracefulShutdown": True, "tracing": {"traceInputsAndOutputs": True}, "httpSettings": {}}
        provider = {"trackingStoreNamePrefix": "x", "UseInstanceTableEtag": True}
        assert (
            load({"version": "2.0", "extensions": {"durableTask": {**durable, "storageProvider": provider}}}).warnings
            == ()
        )

    def test_keys_compare_without_regard_to_case(self, load: Load) -> None:
        settings = load({"version": "2.0", "Extensions": {"DurableTask": {"HUBNAME": "Mine"}}})
        assert settings.durable.hub_name == "Mine"

    def test_value_is_overridden_by_the_environment(self, load: Load) -> None:
        variable = "AzureFunctionsJobHost__extensions__durableTask__hubName"
        assert (
            load(durable(hubName="FromFile"), environment={variable: "FromOutside"}).durable.hub_name == "FromOutside"
        )

    def test_override_may_come_from_local_settings(self, load: Load) -> None:
        local = plain(AzureFunctionsJobHost__extensions__durableTask__storageProvider__partitionCount="7")
        assert load(local=local).storage.partition_count == 7

    def test_wrong_override_is_reported_with_its_variable(self, load: Load) -> None:
        variable = "AzureFunctionsJobHost__functionTimeout"
        with pytest.raises(ConfigurationError, match=f"environment variable {variable}: functionTimeout"):
            load(environment={variable: "soon"})

    @pytest.mark.parametrize(
        ("written", "seconds"),
        [("00:05:00", 300), ("1.00:00:01", 86401), ("-1", None), (-1, None), ("00:00:01", 1)],
    )
    def test_function_timeout_is_a_time_span(self, load: Load, written: JsonValue, seconds: float | None) -> None:
        settings = load({"version": "2.0", "functionTimeout": written})
        assert settings.worker.function_timeout_seconds == seconds

    @pytest.mark.parametrize("written", ["00:00:00", "5 minutes", "25:00:00", "00:61:00", 300, ""])
    def test_function_timeout_that_is_no_time_span_is_refused(self, load: Load, written: JsonValue) -> None:
        with pytest.raises(ConfigurationError, match=r"host\.json: functionTimeout is .*it must be"):
            load({"version": "2.0", "functionTimeout": written})

    @pytest.mark.parametrize(("written", "prefix"), [("", ""), ("v1", "v1"), ("/api/", "api")])
    def test_route_prefix_is_taken_without_outer_slashes(self, load: Load, written: str, prefix: str) -> None:
        settings = load({"version": "2.0", "extensions": {"http": {"routePrefix": written}}})
        assert settings.http.route_prefix == prefix

    def test_custom_headers_keep_their_spelling(self, load: Load) -> None:
        headers: JsonValue = {"X-Content-Type-Options": "nosniff"}
        settings = load({"version": "2.0", "extensions": {"http": {"customHeaders": headers}}})
        assert settings.http.custom_headers == headers

    @pytest.mark.parametrize("value", ["Bearer c2VjcmV0 \u00eb", "c2VjcmV0\r\nX: b"])
    def test_custom_header_that_cannot_be_sent_is_refused_by_name(self, load: Load, value: str) -> None:
        with pytest.raises(ConfigurationError, match=r"extensions\.http\.customHeaders\.X-A must be ASCII") as refused:
            load({"version": "2.0", "extensions": {"http": {"customHeaders": {"X-A": value}}}})
        # It may be a credential.
        assert "c2VjcmV0" not in str(refused.value)

    @pytest.mark.parametrize(
        "name", ["", "X A", "X\r\nY", "Gr\u00f6\u00dfe", "a:b", "Content-Length", "transfer-encoding"]
    )
    def test_custom_header_whose_name_cannot_be_sent_is_refused(self, load: Load, name: str) -> None:
        with pytest.raises(ConfigurationError, match=r"http\.customHeaders: '.*' is not the name of a header"):
            load({"version": "2.0", "extensions": {"http": {"customHeaders": {name: "a"}}}})

    def test_custom_header_that_is_null_is_not_sent(self, load: Load) -> None:
        settings = load({"version": "2.0", "extensions": {"http": {"customHeaders": {"X-A": None}}}})
        assert settings.http.custom_headers == {}

    def test_log_level_that_is_null_changes_nothing(self, load: Load) -> None:
        assert load({"version": "2.0", "logging": {"logLevel": {"Function": None}}}).log.levels == {}

    def test_log_levels_are_read_by_category(self, load: Load) -> None:
        levels: JsonValue = {"default": "Warning", "Function.Hello.User": "debug"}
        settings = load({"version": "2.0", "logging": {"logLevel": levels}})
        assert settings.log.levels == {"default": LogLevel.WARNING, "function.hello.user": LogLevel.DEBUG}
        assert settings.environment["PYTHON_ENABLE_DEBUG_LOGGING"] == "1"

    def test_a_log_level_may_be_a_number(self, load: Load) -> None:
        settings = load({"version": "2.0", "logging": {"logLevel": {"default": 2, "Host": "4"}}})
        assert settings.log.levels == {"default": LogLevel.INFORMATION, "host": LogLevel.ERROR}

    def test_a_log_level_may_have_blanks_around_it_and_an_empty_one_changes_nothing(self, load: Load) -> None:
        settings = load({"version": "2.0", "logging": {"logLevel": {"default": " Error ", "Function": ""}}})
        assert settings.log.levels == {"default": LogLevel.ERROR}

    def test_unknown_log_level_is_refused(self, load: Load) -> None:
        with pytest.raises(ConfigurationError, match=r'logging\.logLevel\.default is "Loud"; it must be one of Trace,'):
            load({"version": "2.0", "logging": {"logLevel": {"default": "Loud"}}})

    def test_category_with_two_stars_is_refused(self, load: Load) -> None:
        with pytest.raises(ConfigurationError, match=r"logging\.logLevel\.\*\.\* has more than one \*"):
            load({"version": "2.0", "logging": {"logLevel": {"*.*": "Debug"}}})

    def test_functions_of_the_command_line_replace_those_of_the_file(self, load: Load) -> None:
        host: JsonValue = {"version": "2.0", "functions": ["A", "B"]}
        assert load(host).functions == ("A", "B")
        assert load(host, options={"functions": ("C",)}).functions == ("C",)


class TestExtensionBundle:
    @pytest.mark.parametrize(
        "version", ["[4.*, 5.0.0)", "[4.0.0, 5.0.0)", "(4.*,5)", "4.26.0", "[2.*, 5.0.0)", "[1.0.0,4.2]", "[4.*, )"]
    )
    def test_of_a_supported_version_gives_no_warning(self, load: Load, version: str) -> None:
        assert load(self.bundle(version)).warnings == ()

    @pytest.mark.parametrize("version", ["[2.*, 3.0.0)", "[3.*, 4.0.0)", "[3.3.0, 4.0.0)", "[1.*, 3.0.0]", "3.1.0"])
    def test_out_of_support_gives_a_warning(self, load: Load, version: str) -> None:
        (warning,) = load(self.bundle(version)).warnings
        assert version in warning
        assert "[4.*, 5.0.0)" in warning

    @pytest.mark.parametrize(
        ("version", "message"),
        [
            ("[1.*, 2.0.0)", "below 2.6.1"),
            ("1.3.0", "below 2.6.1"),
            ("latest", "must be a range"),
            (None, "must be a range"),
        ],
    )
    def test_that_functions_4_does_not_run_is_refused(self, load: Load, version: str | None, message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            load(self.bundle(version))

    def test_without_an_id_is_refused(self, load: Load) -> None:
        with pytest.raises(ConfigurationError, match=r"extensionBundle\.id is missing"):
            load({"version": "2.0", "extensionBundle": {"version": "[4.*, 5.0.0)"}})

    @staticmethod
    def bundle(version: str | None) -> JsonValue:
        section = {"id": "Microsoft.Azure.Functions.ExtensionBundle"} | ({"version": version} if version else {})
        return {"version": "2.0", "extensionBundle": section}


class TestDurableTask:
    def test_hub_name_is_expanded_from_a_setting_in_any_case(self, load: Load) -> None:
        settings = load(durable(hubName="%TaskHub%"), plain(TASKHUB="FromSetting"))
        assert settings.durable.hub_name == "FromSetting"

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("my-hub", "letters and digits"),
            ("1hub", "a letter first"),
            ("ab", "3 to 45"),
            ("a" * 46, "3 to 45"),
            ("%Nowhere%", "%Nowhere% does not resolve to a value"),
            ("50%", "no closing %"),
        ],
    )
    def test_hub_name_that_storage_would_refuse_is_refused(self, load: Load, name: str, message: str) -> None:
        with pytest.raises(ConfigurationError, match=rf"durableTask\.hubName.*{message}"):
            load(durable(hubName=name))

    @pytest.mark.parametrize(
        ("site", "name"),
        [("my-app.1", "myapp1"), ("1st", "t1st"), ("--", "DefaultTaskHub"), ("ab", "abHub"), ("x" * 60, "x" * 45)],
    )
    def test_default_hub_name_is_the_site_name_made_to_fit(self, load: Load, site: str, name: str) -> None:
        assert load(environment={"WEBSITE_SITE_NAME": site}).durable.hub_name == name

    def test_limits_and_storage_options_are_read(self, load: Load) -> None:
        host = durable(
            maxConcurrentActivityFunctions=3,
            maxConcurrentOrchestratorFunctions="4",
            maxOrchestrationActions=5,
            maxEntityOperationBatchSize=50,
            entityMessageReorderWindowInMinutes=1,
            defaultVersion="2.0",
            storeInputsInOrchestrationHistory=True,
            overridableExistingInstanceStates="anystate",
            someKeyOfTomorrow=1,
            storageProvider={
                "type": "azurestorage",
                "partitionCount": 16,
                "controlQueueBatchSize": 8,
                "controlQueueBufferThreshold": 64,
                "controlQueueVisibilityTimeout": "00:02:00",
                "workItemQueueVisibilityTimeout": "00:03:00",
                "maxQueuePollingInterval": "00:00:01.5",
            },
        )
        settings = load(host)
        assert settings.durable.max_concurrent_activities == 3
        assert settings.durable.max_concurrent_orchestrators == 4
        assert settings.durable.rules.max_actions == 5
        assert settings.durable.max_entity_batch_size == 50
        assert settings.durable.entity_reorder_window_seconds == 60
        assert settings.durable.rules.default_version == "2.0"
        assert settings.durable.overridable_states == frozenset(RuntimeStatus)
        assert settings.durable.rules.stores_inputs is True
        assert settings.storage.partition_count == 16
        assert settings.storage.control_queue_batch_size == 8
        assert settings.storage.control_queue_buffer_threshold == 64
        assert settings.storage.control_queue_visibility_seconds == 120
        assert settings.storage.work_item_visibility_seconds == 180
        assert settings.storage.max_polling_interval_seconds == 1.5

    @pytest.mark.parametrize(
        ("members", "key", "says"),
        [
            (
                {"maxConcurrentEntityFunctions": 5},
                "maxConcurrentEntityFunctions",
                "maxConcurrentOrchestratorFunctions limits both",
            ),
            ({"notifications": {"eventGrid": {"topicEndpoint": "https://t"}}}, "notifications", "Event Grid"),
        ],
    )
    def test_option_without_effect_is_logged_by_name(
        self, load: Load, members: dict[str, JsonValue], key: str, says: str
    ) -> None:
        (warning,) = load(durable(**members)).warnings
        assert f"host.json: extensions.durableTask.{key}" in warning
        assert "has no effect" in warning
        assert says in warning

    def test_limit_of_entities_must_be_a_number_although_it_has_no_effect(self, load: Load) -> None:
        with pytest.raises(ConfigurationError, match="maxConcurrentEntityFunctions is 0; it must be a whole number"):
            load(durable(maxConcurrentEntityFunctions=0))

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("partitionCount", 0),
            ("partitionCount", 17),
            ("partitionCount", 4.5),
            ("partitionCount", True),
            ("partitionCount", "four"),
            ("controlQueueBatchSize", 33),
            ("controlQueueBufferThreshold", 1001),
            ("controlQueueVisibilityTimeout", "00:00:59"),
            ("controlQueueVisibilityTimeout", "01:00:01"),
            ("maxQueuePollingInterval", "00:00:00"),
        ],
    )
    def test_storage_option_out_of_bounds_is_refused_by_name(self, load: Load, key: str, value: JsonValue) -> None:
        with pytest.raises(ConfigurationError, match=rf"host\.json: .*storageProvider\.{key} is .*it must be .* from"):
            load(provider(**{key: value}))

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("type", "mssql"),
            ("trackingStoreConnectionName", "Other"),
            ("useLegacyPartitionManagement", True),
            ("useTablePartitionManagement", False),
            ("queueClientMessageEncoding", "Base64"),
        ],
    )
    def test_option_for_a_missing_feature_is_refused_by_name(self, load: Load, key: str, value: JsonValue) -> None:
        with pytest.raises(
            ConfigurationError, match=rf"storageProvider\.{key} = {value} is not supported by durablehost"
        ):
            load(provider(**{key: value}))

    @pytest.mark.parametrize(("key", "value"), [("versionMatchStrategy", "Strict"), ("versionFailureStrategy", "Fail")])
    def test_matching_versions_is_refused_by_name(self, load: Load, key: str, value: str) -> None:
        with pytest.raises(ConfigurationError, match=rf"{key} = {value} is not supported by durablehost"):
            load(durable(**{key: value}))

    @pytest.mark.parametrize(
        ("strategies", "matches"),
        [
            ({}, True),
            ({"versionMatchStrategy": "CurrentOrOlder", "versionFailureStrategy": "Reject"}, True),
            ({"versionMatchStrategy": "None"}, False),
        ],
    )
    def test_strategies_of_versions_that_change_nothing_are_accepted(
        self, load: Load, strategies: dict[str, JsonValue], matches: bool
    ) -> None:
        assert load(durable(**strategies)).durable.rules == Rules(matches_versions=matches)


class TestStorageConnection:
    def test_is_the_setting_named_by_default(self, load: Load) -> None:
        connection = load(local=plain(AzureWebJobsStorage="UseDevelopmentStorage=true")).storage.connection
        assert connection == {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}

    def test_may_be_named_in_host_json_and_stand_below_connection_strings(self, load: Load) -> None:
        local: JsonValue = {"IsEncrypted": False, "ConnectionStrings": {"Durable": {"ConnectionString": "A=b"}}}
        storage = load(provider(connectionName="Durable"), local).storage
        assert storage.connection_name == "Durable"
        assert storage.connection == {"Durable": "A=b"}

    def test_may_be_an_identity_section(self, load: Load) -> None:
        local = plain(AzureWebJobsStorage__accountName="acct", AzureWebJobsStorage__credential="managedidentity")
        assert load(local=local).storage.connection == {
            "AzureWebJobsStorage__accountname": "acct",
            "AzureWebJobsStorage__credential": "managedidentity",
        }

    def test_text_does_not_show_in_a_representation(self, load: Load) -> None:
        assert "c2VjcmV0" not in repr(load(local=plain(AzureWebJobsStorage="AccountName=a;AccountKey=c2VjcmV0")))


class TestLocalSettings:
    def test_values_reach_the_workers(self, load: Load) -> None:
        environment = load(local=plain(READINGS="synthetic", COUNT=3, FLAG=True)).environment
        assert (environment["READINGS"], environment["COUNT"], environment["FLAG"]) == ("synthetic", "3", "true")

    def test_environment_variable_wins_with_a_warning(self, load: Load) -> None:
        settings = load(local=plain(READINGS="file"), environment={"READINGS": "outside"})
        assert settings.environment["READINGS"] == "outside"
        assert settings.warnings == (
            "Skipping 'READINGS' from local settings as it's already defined in current environment variables.",
        )

    def test_empty_environment_variable_does_not_win(self, load: Load) -> None:
        assert load(local=plain(READINGS="file"), environment={"READINGS": ""}).environment["READINGS"] == "file"

    def test_null_and_an_empty_key_are_skipped_with_a_warning(self, load: Load) -> None:
        settings = load(local=plain(GONE=None, **{"": "x"}))
        assert "GONE" not in settings.environment
        assert settings.warnings == (
            "Skipping 'GONE' because value is null",
            "Skipping local setting with empty key.",
        )

    def test_invalid_json_is_refused_with_its_line(self, load: Load) -> None:
        with pytest.raises(ConfigurationError, match=r"local\.settings\.json is not valid JSON: .*line 1, column 2"):
            load(local="{oops")

    @pytest.mark.parametrize("value", ["true", "1.50", "1e3", "12345678901234567890", "NaN", "-Infinity"])
    def test_numbers_and_booleans_are_taken_as_they_are_written(self, load: Load, value: str) -> None:
        text = f'{{"IsEncrypted": false, "Values": {{"A": {value}, "B": "{value}"}}}}'
        environment = load(local=text).environment
        assert environment["A"] == environment["B"] == value

    @pytest.mark.parametrize("marked", [{}, {"IsEncrypted": True}])
    def test_encrypted_or_not_marked_is_refused(self, load: Load, marked: dict[str, JsonValue]) -> None:
        with pytest.raises(ConfigurationError, match=r'local\.settings\.json: IsEncrypted .*"IsEncrypted": false'):
            load(local={**marked, "Values": {"A": "b"}})

    def test_the_mark_may_be_written_in_any_case(self, load: Load) -> None:
        assert load(local={"isEncrypted": False, "values": {"A": "b"}}).environment["A"] == "b"

    @pytest.mark.parametrize(("name", "value"), [("A=B", "c"), ("A", "b\0"), ("A\0", "b"), ("A", "\ud83d")])
    def test_a_value_that_no_environment_can_have_is_refused(self, load: Load, name: str, value: str) -> None:
        with pytest.raises(ConfigurationError, match=r"local\.settings\.json: Values\.'A.* environment variable"):
            load(local={"IsEncrypted": False, "Values": {name: value}})

    @pytest.mark.skipif(sys.platform not in ("linux", "win32"), reason="other systems limit only all of them together")
    def test_a_value_that_is_too_long_for_an_environment_is_refused_by_name(self, load: Load) -> None:
        with pytest.raises(ConfigurationError, match=r"local\.settings\.json: Values\.'BIG' is too long for an env"):
            load(local=plain(BIG="é" * 70_000))

    def test_a_connection_string_that_no_environment_can_have_is_refused(self, load: Load) -> None:
        with pytest.raises(ConfigurationError, match=r"ConnectionStrings\.'A' cannot be an environment variable"):
            load(local={"IsEncrypted": False, "ConnectionStrings": {"A": "b\0"}})

    def test_not_marked_but_without_values_passes(self, load: Load) -> None:
        assert load(local={"Host": {"LocalHttpPort": 7072}}).http.port == 7072

    @pytest.mark.parametrize(
        ("written", "meant"),
        [("Value", "Values"), ("vaules", "Values"), ("Hosts", "Host"), ("ConnectionString", "ConnectionStrings")],
    )
    def test_a_misspelled_section_is_refused_with_its_right_name(self, load: Load, written: str, meant: str) -> None:
        with pytest.raises(ConfigurationError, match=rf'local\.settings\.json: "{written}" is no .* write "{meant}"'):
            load(local={"IsEncrypted": False, written: {"READINGS": "x.parquet"}})

    def test_an_unknown_section_has_no_effect_and_is_named(self, load: Load) -> None:
        settings = load(local={"IsEncrypted": False, "READINGS": "x.parquet", "$schema": "y"})
        assert "READINGS" not in settings.environment
        first, second = settings.warnings
        assert first.endswith('local.settings.json: "READINGS" has no effect; app settings belong in "Values".')
        assert '"$schema"' in second

    @pytest.mark.parametrize("section", ["Values", "Host", "ConnectionStrings"])
    @pytest.mark.parametrize("content", [[], ["READINGS=x.parquet"], "READINGS=x.parquet", 0, False])
    def test_a_section_that_is_no_object_is_refused_by_name(self, load: Load, section: str, content: JsonValue) -> None:
        with pytest.raises(ConfigurationError, match=rf"local\.settings\.json: {section} must be an object"):
            load(local={"IsEncrypted": False, section: content})

    def test_a_section_that_is_null_is_named(self, load: Load) -> None:
        (warning,) = load(local={"IsEncrypted": False, "Values": None}).warnings
        assert warning.endswith('local.settings.json: "Values" is null, so nothing in it has an effect.')

    def test_nested_value_is_refused_by_name(self, load: Load) -> None:
        with pytest.raises(ConfigurationError, match=r"Values\.A must be a string"):
            load(local=plain(A={"b": 1}))

    def test_app_of_another_language_is_refused(self, load: Load) -> None:
        with pytest.raises(ConfigurationError, match='FUNCTIONS_WORKER_RUNTIME is "node"'):
            load(local=plain(FUNCTIONS_WORKER_RUNTIME="node"))

    def test_settings_of_core_tools_are_injected(self, load: Load, tmp_path: Path) -> None:
        environment = load(options={"port": 8080}).environment
        assert environment["WEBSITE_HOSTNAME"] == "localhost:8080"
        assert environment["AzureWebJobsScriptRoot"] == str(tmp_path.resolve())
        assert environment["AZURE_FUNCTIONS_ENVIRONMENT"] == "Development"
        assert environment["FUNCTIONS_CORETOOLS_ENVIRONMENT"] == "true"
        assert environment["FUNCTIONS_WORKER_RUNTIME"] == "python"


class TestSecrets:
    SECRET = "AccountName=a;AccountKey=c2VjcmV0"

    @pytest.mark.parametrize("key", ["connectionName", "connectionStringName"])
    def test_a_connection_string_in_place_of_its_name_is_not_repeated(self, load: Load, key: str) -> None:
        with pytest.raises(ConfigurationError, match=rf"host\.json: .*{key} must be the name of a setting") as refused:
            load(provider(**{key: self.SECRET}))
        assert "c2VjcmV0" not in str(refused.value)

    def test_a_connection_string_in_the_option_is_not_repeated(self, load: Load) -> None:
        with pytest.raises(ConfigurationError, match="--connection-string-setting must be the name") as refused:
            load(options={"connection_name": self.SECRET})
        assert "c2VjcmV0" not in str(refused.value)


class TestHttp:
    def test_port_address_and_cors_come_from_the_host_section(self, load: Load) -> None:
        section: JsonValue = {"LocalHttpPort": "7090", "LocalHttpAddress": "0.0.0.0", "CORS": "https://a, https://b,"}
        http = load(local={"IsEncrypted": False, "Host": section}).http
        assert (http.port, http.address, http.cors_origins) == (7090, "0.0.0.0", ("https://a", "https://b"))

    def test_command_line_wins_over_the_host_section(self, load: Load) -> None:
        section: JsonValue = {"LocalHttpPort": 7090, "LocalHttpAddress": "0.0.0.0", "CORS": "*"}
        options = {"port": 7091, "address": "127.0.0.1", "cors": "https://c"}
        http = load(local={"IsEncrypted": False, "Host": section}, options=options).http
        assert (http.port, http.address, http.cors_origins) == (7091, "127.0.0.1", ("https://c",))

    @pytest.mark.parametrize(
        "origin",
        [
            "http://a:3000/",
            "http://a/b",
            "a:3000",
            "http://*.a",
            "http://a:80",
            "HTTPS://a:443",
            "http://u@a",
            "http://b\u00fccher.example",
            "http://",
        ],
    )
    def test_an_origin_that_no_browser_sends_is_named(self, load: Load, origin: str) -> None:
        settings = load(local={"Host": {"CORS": f"http://localhost:3000,{origin}"}})
        assert f'Host.CORS: no browser sends the origin "{origin}", so it allows no page.' in settings.warnings[-1]
        assert load(options={"cors": origin}).warnings[-1].startswith(f'--cors: no browser sends the origin "{origin}"')

    @pytest.mark.parametrize(
        "origin", ["*", "null", "http://a", "https://a:8443", "http://[::1]:1", "vscode-webview://x", "http://a:8080"]
    )
    def test_an_origin_that_browsers_send_gives_no_warning(self, load: Load, origin: str) -> None:
        assert load(local={"Host": {"CORS": origin}}).warnings == ()

    def test_credentials_are_true_or_false(self, load: Load) -> None:
        assert load(local={"Host": {"CORS": "http://a", "CORSCredentials": "True"}}).http.cors_credentials is True
        assert load(local={"Host": {"CORS": "http://a", "CORSCredentials": False}}).http.cors_credentials is False
        with pytest.raises(ConfigurationError, match=r'Host\.CORSCredentials is "yes"; it must be true or false'):
            load(local={"Host": {"CORSCredentials": "yes"}})

    @pytest.mark.parametrize("value", [["http://a", "http://b"], {"a": 1}], ids=["array", "object"])
    def test_a_host_section_has_single_values(self, load: Load, value: JsonValue) -> None:
        with pytest.raises(ConfigurationError, match=r"settings\.json: Host\.CORS must be a single value"):
            load(local={"Host": {"CORS": value}})

    @pytest.mark.parametrize(("written", "meant"), [("LocalHttpProt", "LocalHttpPort"), ("Cors_", "CORS")])
    def test_a_misspelled_key_of_the_host_section_is_refused(self, load: Load, written: str, meant: str) -> None:
        with pytest.raises(ConfigurationError, match=f'"{written}" has no effect in Host; write "{meant}"'):
            load(local={"Host": {written: "x"}})
        assert load(local={"Host": {"cors": "http://a", "Unrelated": "x"}}).http.cors_origins == ("http://a",)

    def test_allowed_hosts_come_from_the_host_section_unless_the_command_line_has_some(self, load: Load) -> None:
        local: JsonValue = {"Host": {"AllowedHosts": "my-laptop, functions"}}
        assert load(local=local).http.allowed_hosts == ("my-laptop", "functions")
        assert load(local=local, options={"allowed_hosts": "*"}).http.allowed_hosts == ("*",)
        assert load(local=local, options={"allowed_hosts": ""}).http.allowed_hosts == ()
        assert load(local={}).http.allowed_hosts == ()

    @pytest.mark.parametrize("name", ["http://a.test", "a.test:7071", "*.a.test", "[::1]", "a b"])
    def test_an_allowed_host_must_be_a_name(self, load: Load, name: str) -> None:
        with pytest.raises(ConfigurationError, match=r"--allowed-hosts has .*host names separated by commas"):
            load(options={"allowed_hosts": f"ok,{name}"})
        with pytest.raises(ConfigurationError, match=r"local\.settings\.json: Host\.AllowedHosts has"):
            load(local={"Host": {"AllowedHosts": name}})

    @pytest.mark.parametrize("port", [0, 65536, -1])
    def test_port_out_of_range_is_refused(self, load: Load, port: int) -> None:
        with pytest.raises(ConfigurationError, match=f"--port is {port}; it must be a port number"):
            load(options={"port": port})

    def test_invalid_port_in_the_file_is_refused_with_its_key(self, load: Load) -> None:
        with pytest.raises(ConfigurationError, match=r'Host\.LocalHttpPort is "x"'):
            load(local={"IsEncrypted": False, "Host": {"LocalHttpPort": "x"}})

    def test_address_must_be_an_ip_address(self, load: Load) -> None:
        with pytest.raises(ConfigurationError, match="Invalid --address value 'example'"):
            load(options={"address": "example"})

    def test_credentials_for_every_origin_are_refused(self, load: Load) -> None:
        with pytest.raises(ConfigurationError, match="--cors-credentials"):
            load(options={"cors": "*", "cors_credentials": True})

    def test_app_settings_change_limits_and_the_home_page(self, load: Load) -> None:
        before, after = (
            load(),
            load(
                local=plain(
                    FUNCTIONS_REQUEST_BODY_SIZE_LIMIT="1000",
                    AzureWebJobsDisableHomepage="True",
                    FUNCTIONS_WORKER_PROCESS_COUNT="10",
                )
            ),
        )
        assert (before.http.body_limit_bytes, after.http.body_limit_bytes) == (104_857_600, 1000)
        assert (before.http.is_homepage_disabled, after.http.is_homepage_disabled) == (False, True)
        assert (before.worker.process_count, after.worker.process_count) == (1, 10)

    def test_no_more_than_ten_worker_processes_are_allowed(self, load: Load) -> None:
        with pytest.raises(ConfigurationError, match='FUNCTIONS_WORKER_PROCESS_COUNT is "11"'):
            load(environment={"FUNCTIONS_WORKER_PROCESS_COUNT": "11"})

    def test_worker_counts_must_be_numbers(self, load: Load) -> None:
        with pytest.raises(ConfigurationError, match='FUNCTIONS_WORKER_PROCESS_COUNT is "many"'):
            load(environment={"FUNCTIONS_WORKER_PROCESS_COUNT": "many"})

    def test_a_worker_under_a_debugger_is_the_only_one_and_has_no_time_limit(self, load: Load) -> None:
        arguments = {"languageWorkers__python__arguments": "-m debugpy --listen 9091 'two words'"}
        worker = load(
            {"version": "2.0", "functionTimeout": "00:00:01"},
            environment={"FUNCTIONS_WORKER_PROCESS_COUNT": "2", **arguments},
        ).worker
        assert worker.arguments == ("-m", "debugpy", "--listen", "9091", "two words")
        assert (worker.process_count, worker.function_timeout_seconds) == (1, None)

    def test_an_open_quotation_mark_in_the_arguments_of_python_is_refused(self, load: Load) -> None:
        with pytest.raises(ConfigurationError, match=r"languageWorkers__python__arguments is .*; a quotation mark"):
            load(environment={"languageWorkers__python__arguments": "-m 'debugpy"})

    @pytest.mark.parametrize("text", ["many", "0", "-1", "1.5"])
    def test_a_wrong_number_of_threads_gives_the_default_and_a_warning(self, load: Load, text: str) -> None:
        settings = load(environment={"PYTHON_THREADPOOL_THREAD_COUNT": text})
        assert settings.worker.thread_count == 1000
        assert f'PYTHON_THREADPOOL_THREAD_COUNT is "{text}"; it must be a whole number' in settings.warnings[-1]
        assert load(environment={"PYTHON_THREADPOOL_THREAD_COUNT": " 7 "}).worker.thread_count == 7


@pytest.mark.parametrize(
    ("text", "seconds"), [("00:00:00.5", 0.5), ("1:2:3", 3723), ("2.00:00:00", 172800), ("00:30", 1800), ("x", None)]
)
def test_time_spans_are_those_of_dotnet(text: str, seconds: float | None) -> None:
    assert parse_time_span(text) == seconds


def test_time_spans_are_shown_as_they_are_written() -> None:
    assert [format_time_span(each) for each in (90061, 0.5, 3600)] == ["1.01:01:01", "00:00:00.500", "01:00:00"]
