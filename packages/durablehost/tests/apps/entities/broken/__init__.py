"""An entity whose entry point fails before it comes to any operation."""


def main(context):
    raise RuntimeError("no entity at all")
