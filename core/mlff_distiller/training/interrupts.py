"""Ctrl-C and SIGTERM between two steps, never within one, so that what is saved is a state that the run has been in."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType, TracebackType

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class HeldInterrupts:
    """While entered, the first signal is only noted; a second one interrupts at once. Does nothing outside the main thread."""

    def __init__(self) -> None:
        self.pending = False
        self._handlers: dict[signal.Signals, object] = {}

    def __enter__(self) -> HeldInterrupts:
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.pending:
            raise KeyboardInterrupt
        self.pending = True
        logger.warning(
            "stopping after this step; interrupt once more to stop at once, from the last checkpoint"
        )
