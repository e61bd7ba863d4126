"""The one error that a user can cause."""


class InputError(ValueError):
    """A user's mistake, told in one line that names the place, the value and the rule.

    The console entries print the line to stderr and exit with code 2; every other exception is a bug and shows its traceback.
    """
