"""What a v1 function app is: its folders, its functions, their bindings, and what an invocation carries."""
