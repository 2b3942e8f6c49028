"""The same jobs on a Ray cluster that is running (the optional extra ``ray``).

The package has to be installed on every node, and the files that a job reads and writes must have
the same paths there (a shared file system).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nasbench_kit.errors import InvalidSetting
from nasbench_kit.system.jobs import IMPORTABLE
from nasbench_kit.system.workers import ATTEMPTS, died

#: Jobs handed to the cluster at a time, for each of its processors.
_AHEAD = 2
#: What Ray says, in a plain RuntimeError, where a node cannot import the work.
_NOT_IMPORTED = "failed to import on the worker"


def connect() -> None:
    """Join the cluster that is running here, or that RAY_ADDRESS names.

    Raises:
        InvalidSetting: Ray is not installed, or no cluster is running.
    """
    try:
        import ray
    except ImportError:
        raise InvalidSetting(
            "the executor ray needs Ray; install it with `pip install 'nasbench-kit[ray]'`"
        ) from None
    if ray.is_initialized():
        return
    try:
        ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError:
        raise InvalidSetting(
            "no Ray cluster is running here; start one with `ray start --head`, or give its address in "
            "RAY_ADDRESS (and RAY_AUTH_MODE=token, if it wants a token)"
        ) from None


def check_sendable(value: object, what: str) -> None:
    """Refuse what the cluster could not be sent; Ray can send classes of a notebook.

    Raises:
        InvalidSetting: the value cannot be sent; the message says what to do about it.
    """
    import ray

    try:
        ray.cloudpickle.dumps(value)  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever the class's own code raises
        raise InvalidSetting(
            f"{what} cannot be sent to the cluster ({type(error).__name__}: {error}); {IMPORTABLE}"
        ) from error


def finished(
    work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[int, Any]]:
    """Number and result of every job, in the order in which they finish; one processor each.

    Raises:
        WorkerDied: some jobs killed every worker that tried them; raised after all other results.
    """
    import ray

    # Ray starts a job again whose worker died; what the job itself raises is raised here.
    @ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)
    def remote(*job: Any) -> Any:  # sent to a worker once, with all that ``work`` holds
        return work(*job)

    most = max(1, int(_AHEAD * ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
    waiting = iter(range(len(jobs)))
    running: dict[Any, int] = {}
    given_up = []
    try:
        while True:
            while len(running) < most and (number := next(waiting, None)) is not None:
                running[remote.remote(*jobs[number])] = number
            if not running:
                break
            for reference in ray.wait(list(running))[0]:
                number = running.pop(reference)
                try:
                    result = ray.get(reference)
                except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
                    given_up.append(jobs[number])
                except ray.exceptions.RayTaskError as error:
                    if _NOT_IMPORTED in (reason := str(error.cause)):
                        missing = reason.strip().splitlines()[-1]
                        raise InvalidSetting(
                            f"a node of the cluster cannot import the work ({missing}); install its "
                            "package on every node"
                        ) from error
                    raise error.cause from error
                else:
                    yield number, result
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
    if given_up:
        raise died(given_up)
