"""Gets and returns an object of a class of the app."""

from values.temperature import Temperature


def main(value):
    return Temperature(value.degrees + 1)
