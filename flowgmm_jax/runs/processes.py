"""Processes that act as one.

Every process runs the same program on its own devices. What only one may do (write files, report
progress) is done by process 0, which alone needs the workdir; what may fail in one alone is done
``together``, so that none waits for another that has given up. A process that ends without a word
ends the others.
"""

import contextlib
import ctypes
import importlib.util
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
LOST = os.EX_TEMPFAIL  # exit code when another process ended: to start again may help
# What JAX's errors have in common when it is the connection that failed.
BROKEN = ("gloo", "nccl", "coordination", "unavailable", "deadline_exceeded", "connection")
SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")

_last_words = ""


def initialize(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Joins this process to the others of its job, if there are others; before any computation.

    Without arguments, the job is that of the cluster that started this process: Slurm, Open MPI, an
    indexed Job on Kubernetes, or a Cloud TPU. ``num_processes=1`` is a run on its own anywhere.

    Args:
      coordinator: HOST:PORT of process 0, where it is to listen; the port is free there.
      num_processes: of the job.
      process_id: number of this one, from 0.

    Raises:
      InputError: naming the flag of train.py, or what the cluster lacks, or the processes that
        have another number of devices.
    """
    cluster = None
    if (coordinator, num_processes, process_id) == (None, None, None):
        cluster = _cluster(os.environ)
        if cluster is None:
            return
    elif (coordinator, num_processes, process_id) == (None, 1, None):
        return
    else:
        _check_flags(coordinator, num_processes, process_id)

    # It would catch SIGTERM, which the loop does; all processes hear of it by share_signal.
    jax.config.update("jax_enable_preemption_service", False)
    _speak_when_aborted(
        f"not all processes of the job started within {START_TIMEOUT} s: the coordinator is "
        f"{coordinator or 'found by ' + cluster}"
    )
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=START_TIMEOUT,
            heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT,
            shutdown_timeout_seconds=HEARTBEAT_TIMEOUT,
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"this process looks like one of several on {cluster or coordinator}, but cannot join "
            f"them: {str(error).splitlines()[0]}; expected --coordinator, --num_processes and "
            "--process_id, or --num_processes=1 for a run on its own"
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
    given = {
        "--coordinator": coordinator,
        "--num_processes": num_processes,
        "--process_id": process_id,
    }
    for flag, value in given.items():
        if value is None:
            raise InputError(f"{flag} is missing: expected all of {', '.join(given)}, or none")
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


def _cluster(environment: dict[str, str]) -> str | None:
    """The cluster that started this process beside others, by the variables that JAX reads too."""
    if all(name in environment for name in SLURM) and int(environment["SLURM_NTASKS"]) > 1:
        return "Slurm"
    if "OMPI_MCA_orte_hnp_uri" in environment and int(environment["OMPI_COMM_WORLD_SIZE"]) > 1:
        return "Open MPI"
    hosts = environment.get("TPU_PROCESS_ADDRESSES", environment.get("TPU_WORKER_HOSTNAMES", ""))
    # JAX sets TPU_SKIP_MDS_QUERY where it finds no TPU; only metadata tell how many hosts it has.
    tpu = importlib.util.find_spec("libtpu") and "TPU_SKIP_MDS_QUERY" not in environment
    if "," in hosts or tpu:
        return "Cloud TPU"
    if "KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment:
        return "Kubernetes"
    return None


def is_one_of_several() -> bool:
    """Whether this process has joined a job."""
    return jax.distributed.is_initialized()


def is_primary() -> bool:
    """Whether this is the process that writes and reports."""
    return jax.process_index() == 0


def from_primary(value: Any) -> Any:
    """Process 0's ``value``, of what JSON can say, in every process; the others' is not read."""
    if jax.process_count() == 1:
        return value
    return json.loads(_gather(json.dumps(value) if is_primary() else "")[0])


def broadcast(tree: Any, like: Any) -> Any:
    """Process 0's arrays in every process; the others' are not read.

    Args:
      tree: in process 0, arrays.
      like: everywhere, the same structure with their shapes and dtypes.
    """
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
    """A block that every process completes, or none: an error in one is raised in all.

    All processes must come to it, and wait for the last. The block itself must not communicate.

    Raises:
      InputError: in all processes, naming the process, for an InputError or OSError in one; for
        another exception in all processes but that one, where it is raised as it is.
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
    jax.distributed.shutdown()  # now, while all are here: nothing is shared any more
    if error and not isinstance(error, (InputError, OSError)):
        raise error
    message = messages[failed[0]]
    if len(set(messages)) > 1:
        message = f"process {failed[0]}: {message}"
    raise InputError(message) from error


def share_signal(number: int, step: int) -> int:
    """The signal that any process received before ``step``, or 0: all see the same one."""
    if jax.process_count() == 1:
        return number
    _set_last_words(
        f"another process ended after step {step}: start the job again, which goes on from the "
        "last checkpoint"
    )
    return int(max(multihost_utils.process_allgather(np.int32(number))))


def lost_process(error: Exception) -> str | None:
    """One line for an error whose cause is that another process of the job ended; else None."""
    message = str(error).lower()  # its class depends on where the connection broke
    return _last_words if any(word in message for word in BROKEN) else None


def leave(code: int) -> NoReturn:
    """Ends this process; one of several at once, since an orderly exit waits for the others. That
    they have lost this one then ends them."""
    if not is_one_of_several():
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _set_last_words(line: str) -> None:
    global _last_words
    _last_words = line


def _on_abort(number: int) -> None:
    os.write(2, f"\nerror: {_last_words}\n".encode())
    os._exit(LOST)


# Python's own handlers would run after the signal, and nothing runs after an abort.
_ABORT_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)(_on_abort)


def _speak_when_aborted(line: str) -> None:
    """JAX aborts a process, with a page of C++, when the coordinator or another process is gone and
    no computation has noticed; this adds the line that says so, and the exit code ``LOST``."""
    _set_last_words(line)
    ctypes.CDLL(None).signal(signal.SIGABRT, _ABORT_HANDLER)
