"""A v1 function app: its folders, its functions, their bindings, and the data of an invocation."""
