"""The errors a user sees: what is wrong, then a hint with the next step. Exit codes: DESIGN section 2, rule 7."""

from __future__ import annotations


class ServeoffError(Exception):
    """A problem to be shown in one sentence, without a traceback.

    `exit_code` is the process's exit status when this error ends the command.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(ServeoffError):
    """The user's input (a file, a model, a sample) is at fault."""

    exit_code = 1


class UsageError(ServeoffError):
    """The command line does not make sense."""

    exit_code = 2


class MissingToolError(ServeoffError):
    """A tool or a library that the work needs is not here."""

    exit_code = 3


class NotReadyError(ServeoffError):
    """A target did not become ready, or is not running."""

    exit_code = 4


class GateError(ServeoffError):
    """A gate failed: parity, twins, wrong answers, a regression, an SLO."""

    exit_code = 5
