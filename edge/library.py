"""Libraries that this package is used with: imported, or one sentence that says what is wrong with them and what to do.

A library that is there and cannot be loaded is not "not installed": whoever is told so installs it once more and is no further.
"""

from __future__ import annotations

import importlib
from typing import Any

from edge.errors import BackendError
from edge.stop import unstopped


def load(module: str, *, name: str, holds: str, get: str, remove: str = "", needs: str = "") -> Any:
    """Import a library.

    Args:
        module: what is imported.
        name: the library, as people call it.
        holds: something that it has when it is whole; pip leaves an empty folder behind when two packages share one.
        get: how it is installed, as a command.
        remove: packages of pip that may share its folder; its own name when empty.
        needs: how it gets the shared libraries that it needs of the system.

    Raises:
        BackendError: it is not installed, cannot be loaded, or is not whole.
    """
    try:
        with unstopped():  # an import that a signal cuts looks like a library that cannot be loaded
            found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module.partition(".")[0]:
            raise BackendError(f"{name} is not installed: {get}") from None
        raise BackendError(f"{name} is installed, but not the module '{error.name}' that it needs: {get}") from None
    except Exception as error:  # ImportError of the loader, and what a library does when one of its own is missing (pylsl: RuntimeError)
        said = " ".join(str(error).split()) or type(error).__name__
        absent = needs and (not isinstance(error, ImportError) or "cannot open shared object file" in said)
        advice = needs if absent else f"pip uninstall {remove or module}, then {get}"
        raise BackendError(f"{name} is installed but cannot be loaded ({said}): {advice}") from None
    if hasattr(found, holds):
        return found
    raise BackendError(
        f"{name} is not whole: it has no '{holds}', as when two packages share a folder and one was removed; "
        f"pip uninstall {remove or module}, then {get}"
    )
