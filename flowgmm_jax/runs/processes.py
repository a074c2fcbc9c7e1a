"""Several processes that train one model.

Every process runs the same program on its own devices. Process 0 also writes files and reports
progress; only it needs the workdir. What may fail in one process is done ``together``, so that no
process waits for one that has failed, and the loss of a process ends the others.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from flowgmm_jax.errors import InputError

START_TIMEOUT = 300  # seconds, from the first process to the last
HEARTBEAT_TIMEOUT = 30  # seconds without a sign of life until a process counts as dead
LOST = os.EX_TEMPFAIL  # exit code if another process ended: starting the job again may help
# Words in the errors that JAX raises if the connection to another process failed.
BROKEN = ("gloo", "nccl", "coordination", "unavailable", "deadline_exceeded", "connection")

_last_words = ""


def initialize(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Joins this process to the others of its job, if there are others; before any computation.

    Without arguments JAX detects the job from the cluster that started this process (Slurm, Open
    MPI, Kubernetes, Cloud TPU); without a cluster this process runs alone, as it does anywhere with
    ``num_processes=1``.

    Args:
      coordinator: HOST:PORT of process 0, which listens there; the port is free.
      num_processes: of the job.
      process_id: number of this process, from 0.

    Raises:
      InputError: naming the flag of train.py, what the cluster lacks, or the process with another
        number of devices.
    """
    flags = (coordinator, num_processes, process_id)
    if flags == (None, 1, None):
        return
    if flags != (None, None, None):
        _check_flags(*flags)
    # The preemption service would catch SIGTERM, which the training loop does, in all processes.
    jax.config.update("jax_enable_preemption_service", False)
    coordinator_name = coordinator or "that of the cluster"
    _set_last_words(
        f"not all processes of the job started within {START_TIMEOUT} s: the coordinator is "
        f"{coordinator_name}"
    )
    _handle_abort(_on_abort)
    try:
        jax.distributed.initialize(
            *flags,
            initialization_timeout=START_TIMEOUT,
            heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT,
            shutdown_timeout_seconds=HEARTBEAT_TIMEOUT,
        )
    except (RuntimeError, ValueError) as error:
        if "coordinator_address should be defined" in str(error):  # JAX detected no cluster
            _handle_abort(None)
            return
        raise InputError(
            f"this process looks like one of several, but cannot join them (the coordinator is "
            f"{coordinator_name}): {str(error).splitlines()[0]}; expected --coordinator, "
            "--num_processes and --process_id, or --num_processes=1 for a run on its own"
        ) from error
    _set_last_words("another process ended before the first step: start the job again")
    counts = [len(jax.local_devices(process_index=i)) for i in range(jax.process_count())]
    for process, count in enumerate(counts):
        if count != counts[0]:
            raise InputError(
                f"process {process} has {count} devices and process 0 has {counts[0]}: expected as "
                "many in every process"
            )


def _check_flags(coordinator: str | None, num_processes: int | None, process_id: int | None):
    names = ("--coordinator", "--num_processes", "--process_id")
    for name, value in zip(names, (coordinator, num_processes, process_id), strict=True):
        if value is None:
            raise InputError(f"{name} is missing: expected all of {', '.join(names)}, or none")
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"--coordinator is {coordinator!r}, expected HOST:PORT of process 0")
    if num_processes < 1:
        raise InputError(f"--num_processes is {num_processes}, expected at least 1")
    if not 0 <= process_id < num_processes:
        raise InputError(f"--process_id is {process_id}, expected 0 to {num_processes - 1}")
    if process_id == 0:  # a port that is in use would crash the process
        try:
            socket.create_server(("", int(port))).close()
        except OSError as error:
            raise InputError(
                f"--coordinator is {coordinator!r}, but port {port} cannot be listened on: "
                f"{os.strerror(error.errno)}"
            ) from None


def is_one_of_several() -> bool:
    """Whether this process has joined a job."""
    return jax.distributed.is_initialized()


def is_primary() -> bool:
    """Whether this is the process that writes and reports."""
    return jax.process_index() == 0


def from_primary(value: Any) -> Any:
    """Process 0's JSON-able ``value``, in every process; the value of the others is ignored."""
    if jax.process_count() == 1:
        return value
    return json.loads(_gather(json.dumps(value) if is_primary() else "")[0])


def broadcast(tree: Any, like: Any) -> Any:
    """Process 0's arrays, in every process; the ``tree`` of the others is ignored. ``like`` is the
    same structure with their shapes and dtypes, in every process."""
    if jax.process_count() == 1:
        return tree
    if not is_primary():
        tree = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    return multihost_utils.broadcast_one_to_all(tree)


def _gather(text: str) -> list[str]:
    """The texts of all processes, in their order."""
    content = np.frombuffer(text.encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.uint32(len(content)))
    padded = np.zeros(max(sizes), np.uint8)
    padded[: len(content)] = content
    rows = multihost_utils.process_allgather(padded)
    return [row[:size].tobytes().decode() for row, size in zip(rows, sizes, strict=True)]


@contextlib.contextmanager
def together() -> Iterator[None]:
    """A block that all processes complete, or none: an error in one is raised in all.

    All processes must enter it, and wait for the last. The block itself must not communicate.

    Raises:
      InputError: in all processes, naming the process, for an InputError or OSError in one; for
        any other exception in all processes except that one, which raises it unchanged.
    """
    if jax.process_count() == 1:
        yield
        return
    error = None
    try:
        yield
    except Exception as caught:
        error = caught
    text = (str(error).strip() or type(error).__name__).splitlines()[0] if error else ""
    messages = _gather(text)
    failed = [process for process, message in enumerate(messages) if message]
    if not failed:
        return
    jax.distributed.shutdown()  # now, since it waits for all, and all are here
    if error and not isinstance(error, (InputError, OSError)):
        raise error
    message = messages[failed[0]]
    if len(set(messages)) > 1:
        message = f"process {failed[0]}: {message}"
    raise InputError(message) from error


def share_signal(number: int, step: int) -> int:
    """The signal that any process received before ``step``, or 0: the same in all processes."""
    if jax.process_count() == 1:
        return number
    _set_last_words(
        f"another process ended after step {step}: start the job again, which goes on from the "
        "last checkpoint"
    )
    return int(max(multihost_utils.process_allgather(np.int32(number))))


def lost_process(error: Exception) -> str | None:
    """One line for an error caused by the end of another process of the job; otherwise None."""
    message = str(error).lower()  # its class depends on where the connection broke
    return _last_words if any(word in message for word in BROKEN) else None


def leave(code: int) -> NoReturn:
    """Ends this process; if it is one of several, at once: an orderly exit would wait for the
    others, which end because they have lost this one."""
    if not is_one_of_several():
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _set_last_words(line: str) -> None:
    global _last_words
    _last_words = line


@ctypes.CFUNCTYPE(None, ctypes.c_int)
def _on_abort(number: int) -> None:
    os.write(2, f"\nerror: {_last_words}\n".encode())
    os._exit(LOST)


def _handle_abort(handler: Any) -> None:
    """Sets C's handler of SIGABRT: JAX aborts the process, with a page of C++, if another is lost
    while no computation runs, and a handler of Python's ``signal`` would never be run."""
    ctypes.CDLL(None).signal(signal.SIGABRT, handler)
