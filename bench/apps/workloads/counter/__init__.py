"""A number that can be added to."""

import azure.durable_functions as df


def counter(context: df.DurableEntityContext):
    total = context.get_state(lambda: 0) + context.get_input()
    context.set_state(total)
    context.set_result(total)


main = df.Entity.create(counter)
