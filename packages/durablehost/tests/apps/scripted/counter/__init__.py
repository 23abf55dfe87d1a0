"""A value, at first a number, that can be added to, read, set, set back and done away with."""

import azure.durable_functions as df


def counter(context: df.DurableEntityContext):
    value = context.get_state(lambda: 0)
    operation = context.operation_name
    if operation == "add":
        value += context.get_input()
        context.set_state(value)
    elif operation == "reset":
        value = 0
        context.set_state(value)
    elif operation == "set":
        value = context.get_input()
        context.set_state(value)
    elif operation == "fail":
        raise ValueError(f"cannot {context.get_input()}")
    context.set_result(value)
    if operation == "delete":
        # After the result: setting one makes the entity exist.
        context.destruct_on_exit()


main = df.Entity.create(counter)
