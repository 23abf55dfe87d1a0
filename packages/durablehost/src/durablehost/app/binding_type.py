"""The binding types that extension bundle 4.x knows, and which of them durablehost serves.

Any other type is a spelling mistake. An input that is not served is refused by its name; a function with a trigger that
is not served runs only through the admin API.
"""

from __future__ import annotations

from durablehost.app.model import DURABLE_CLIENT_TYPES, TriggerKind

HTTP_OUTPUT = "http"

SERVED_TRIGGERS = frozenset(kind.value for kind in TriggerKind)
SERVED_INPUTS = SERVED_TRIGGERS | DURABLE_CLIENT_TYPES

_TRIGGERS = frozenset(
    f"{name}trigger"
    for name in (
        "assistantskill",
        "blob",
        "connector",
        "cosmosdb",
        "daprbinding",
        "daprserviceinvocation",
        "daprtopic",
        "eventgrid",
        "eventhub",
        "kafka",
        "mcpprompt",
        "mcpresource",
        "mcptool",
        "mysql",
        "queue",
        "rabbitmq",
        "redislist",
        "redispubsub",
        "redisstream",
        "servicebus",
        "signalr",
        "socketio",
        "sql",
        "timer",
        "warmup",
        "webpubsub",
    )
)

_OTHERS = frozenset(
    {
        "assistantcreate",
        "assistantpost",
        "assistantquery",
        "blob",
        "cosmosdb",
        "daprbinding",
        "daprinvoke",
        "daprpublish",
        "daprsecret",
        "daprstate",
        "embeddings",
        "embeddingsstore",
        "eventgrid",
        "eventhub",
        "kafka",
        "kusto",
        "mcptoolproperty",
        "mysql",
        "queue",
        "rabbitmq",
        "redis",
        "semanticsearch",
        "sendgrid",
        "servicebus",
        "signalr",
        "signalrconnectioninfo",
        "signalrendpoints",
        "signalrnegotiation",
        "socketio",
        "socketionegotiation",
        "sql",
        "table",
        "textcompletion",
        "twiliosms",
        "webpubsub",
        "webpubsubconnection",
        "webpubsubcontext",
        "webpubsubrequest",
    }
)

KNOWN_TYPES = SERVED_INPUTS | {HTTP_OUTPUT} | _TRIGGERS | _OTHERS
