"""The one exception that users are meant to read."""


class InputError(Exception):
    """A parameter, data file or checkpoint is wrong.

    The message is one line: the file and key at fault, the value, and the remedy.
    """
