"""Takes the poison that the operation names; else counts."""

import azure.durable_functions as df

from ..shared import poison


def entity(context: df.DurableEntityContext):
    poison.take(context.operation_name)
    value = context.get_state(lambda: 0) + 1
    context.set_state(value)
    context.set_result(value)


main = df.Entity.create(entity)
