"""The context manager protocol, once for every client and server that the tests start."""

import abc
from types import TracebackType
from typing import Self


class Closing(abc.ABC):
    """Base class of what a `with` block ends: by `close`, or by `abort` if the block raised."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            self.close()
        else:
            self.abort()

    @abc.abstractmethod
    def close(self) -> None:
        """Release everything, and check what can only be checked at the end."""

    def abort(self) -> None:
        """Release everything without checks, so that the block's own exception is reported."""
        self.close()
