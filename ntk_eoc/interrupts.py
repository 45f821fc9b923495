"""Ctrl-C where an exception is no answer: it is noted until there is a whole state to save, or ends the process.

Python raises ``KeyboardInterrupt`` wherever it happens to be. Inside a callback of JAX that is printed and forgotten,
while a compiled module is imported it becomes another exception, an abort or a segmentation fault.
"""

import os
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


def end_at_once(sentence: str) -> None:
    """From now on Ctrl-C prints ``sentence`` and ends this process with 130, as safely as any other kill: what is on
    the disk is whole at every instant. Where Ctrl-C is ignored, as in the background of a shell, it stays so."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return

    def end(*_: Any) -> None:
        os.write(2, ("\n" * os.isatty(2) + sentence + "\n").encode())  # below a progress bar
        os._exit(130)

    signal.signal(signal.SIGINT, end)
