"""What is wrong with a filter, and where."""

from apps.core.errors import FieldError, FleetdError, Kind


class FilterError(FleetdError):
    """A filter that cannot be read, because of what stands from `column` to `end`, from 1 on.

    `suggestion` may stand there instead; it is empty where there is no idea.
    """

    kind, code = Kind.INVALID, "invalid_filter"
    default_message = "The filter cannot be read."

    def __init__(self, column: int, problem: str, suggestion: str = "", *, end: int = 0) -> None:
        end = max(end, column)
        where = f"{column}–{end}" if end > column else f"{column}"
        shown = suggestion if '"' in suggestion else f'"{suggestion}"'
        hint = f", did you mean {shown}?" if suggestion else ""
        message = f"{problem} at {where}{hint}"
        super().__init__(
            message,
            data={"column": column, "end": end, "suggestion": suggestion},
            fields=[FieldError("filter", self.code, message)],
        )
        self.column, self.end = column, end
        self.problem, self.suggestion = problem, suggestion
