"""SIGTERM and SIGINT as a request that the loop answers between two calls."""

import signal
import threading


class Stopped(Exception):
    """A signal ended the run after its state was saved."""

    def __init__(self, number: int, step: int):
        super().__init__(f"stopped by {signal.Signals(number).name} at step {step}, state saved")
        self.exit_code = 128 + number


class StopSignals:
    """While open, SIGTERM and SIGINT set ``received`` to their number, instead of ending the
    process. A second one ends it as usual."""

    def __init__(self):
        self.received = 0
        self._previous = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def _receive(self, number, frame):
        self.received = number
        self.__exit__()

    def __exit__(self, *exception):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
