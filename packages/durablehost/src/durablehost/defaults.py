"""The defaults of `extensions.durableTask` in host.json, each once.

They are those of DurableTaskOptions and AzureStorageOptions, but for two: a restarted host follows its killed
predecessor at once on a developer's machine, and polling an emulator costs nobody money.
"""

MAX_ORCHESTRATION_ACTIONS = 100_000
MAX_ENTITY_BATCH_SIZE = 5000
ENTITY_REORDER_WINDOW_SECONDS = 1800.0

PARTITION_COUNT = 4
CONTROL_QUEUE_BATCH_SIZE = 32
CONTROL_QUEUE_BUFFER_THRESHOLD = 256
# Upstream 5 minutes: how long the messages of a killed host stay hidden, if nobody knows that it was killed.
VISIBILITY_SECONDS = 30
# Upstream 30 seconds.
MAX_POLLING_INTERVAL_SECONDS = 5.0
