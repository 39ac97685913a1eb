"""Every error a user can cause; each message says what was wrong, where, and what to do.

`EdgeError` is the root. `exit_code` is what `edge-run` returns for it.
"""

from __future__ import annotations

from edge.plain import plain


class EdgeError(Exception):
    """Root of the errors that this package raises on purpose; as text one line, without control characters and passwords."""

    exit_code = 1

    def __str__(self) -> str:
        return plain(super().__str__())


class UsageError(EdgeError):
    """An option or argument that makes no sense."""

    exit_code = 2


class BundleError(EdgeError):
    """A bundle that is missing, damaged, of another schema version, or whose graphs have other inputs."""

    exit_code = 3


class BackendError(EdgeError):
    """A backend or device that is not installed or not there."""

    exit_code = 3


class InputError(EdgeError):
    """A camera, file, image or data set that cannot be read."""

    exit_code = 4


class OutputError(EdgeError):
    """A recording or another output that could not be written whole; what had its name before is untouched."""

    exit_code = 4
