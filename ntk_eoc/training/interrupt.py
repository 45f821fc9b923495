"""Ctrl-C between two compiled calls, when there is a whole state to save."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Interrupt = threading.Event


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Within it, the first Ctrl-C sets the event and the second one acts as outside.

    One that nobody acted on before the end acts after it. Elsewhere than in the main thread there are no signals, and
    nothing changes.
    """
    pressed = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    before = signal.getsignal(signal.SIGINT)

    def note(*_: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed.is_set():
        signal.raise_signal(signal.SIGINT)
