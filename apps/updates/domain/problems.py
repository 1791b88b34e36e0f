"""Why a plan cannot be carried out."""


class BadPlan(ValueError):
    """A plan that cannot be carried out: `field` is the path of what is wrong, and why."""

    def __init__(self, field: str, message: str) -> None:
        self.field, self.message = field, message
        super().__init__(message)
