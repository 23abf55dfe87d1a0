"""Returns how long the text was that it got, and a text of the asked length."""


def main(value: dict) -> dict:
    return {"received": len(value["text"]), "text": "y" * value["length"]}
