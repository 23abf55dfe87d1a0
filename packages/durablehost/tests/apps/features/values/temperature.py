"""A value with the two methods by which the durable SDK takes it across a boundary."""


class Temperature:
    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    @staticmethod
    def to_json(temperature: "Temperature") -> dict:
        return {"degrees": temperature.degrees}

    @staticmethod
    def from_json(value: dict) -> "Temperature":
        return Temperature(value["degrees"])
