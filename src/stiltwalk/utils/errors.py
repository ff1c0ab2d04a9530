"""The one exception that a user is meant to read."""


class InputError(Exception):
    """Something that a person gave is wrong: a parameter, a data file, a checkpoint.

    The message is one line: the file and key at fault, the value found, what to do about it.
    """
