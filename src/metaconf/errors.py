"""The one exception that users see without a traceback: value, cause and remedy in its text."""

from __future__ import annotations


class UserError(Exception):
    """Bad input or a refused action; the command line prints it on one line and exits with 2.

    The message gives the offending value, why it cannot be used and what to do instead.
    """
