"""SIGTERM and SIGINT as a request to stop, which the training loop handles between two calls."""

import os
import signal
import threading


class Stopped(Exception):
    """A signal ended the run after its state was saved."""

    def __init__(self, number: int, step: int):
        super().__init__(f"stopped by {signal.Signals(number).name} at step {step}, state saved")
        self.exit_code = 128 + number


class StopSignals:
    """While open, SIGTERM and SIGINT set ``received`` to their number instead of ending the
    process. Further ones are ignored: schedulers send several, and the state is to be saved.
    SIGQUIT and SIGKILL end the process as usual; the run then resumes from its last checkpoint."""

    def __init__(self):
        self.received = 0
        self._previous = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def _receive(self, number, frame):
        if not self.received:
            self.received = number
            # print() is not safe here: the signal may have come in the middle of another.
            os.write(2, f"\n{signal.Signals(number).name}: stopping once saved\n".encode())

    def __exit__(self, *exception):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
