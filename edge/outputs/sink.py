"""What every output is: something that takes readings and is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from edge.types import Reading

if TYPE_CHECKING:
    from typing import Self


class Sink(Protocol):
    """Takes readings in their order; a context manager that closes itself."""

    def write(self, reading: Reading) -> None:
        """Take one reading."""
        ...

    def close(self) -> None:
        """Finish; what was written stays. A second call does nothing."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
