"""Jobs as tasks of Ray, on this machine or on a cluster. Only what is small travels through Ray: no frame, no file."""

from __future__ import annotations

import importlib.util
import math
import os
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

from avatar import __version__
from avatar.common.processes import usable_cores
from avatar.errors import HeadsplatError
from avatar.fleet.jobs import Job, Needs, Outcome
from avatar.fleet.runner import Lost
from avatar.fleet.worker import perform

MISSING = "headsplat fleet needs Ray; install it with: pip install 'headsplat[fleet]'"
#: Bytes of Ray's shared memory on this machine: jobs and outcomes have a few kilobytes.
_OBJECT_STORE = 100 << 20


#: Seconds for which the machines of the cluster are taken to be the same.
_KNOWN_FOR = 15.0
#: Read by Ray when it is imported: nothing about the work is reported to its makers; and where it is started on this
#: machine, it listens on 127.0.0.1 only (its switch for Windows and macOS) and refuses other users.
_ALWAYS = {"RAY_USAGE_STATS_ENABLED": "0"}
_LOCAL = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}


def check_installed() -> None:
    """Raise HeadsplatError where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise HeadsplatError(MISSING)


def _import_ray(*, local: bool) -> Any:
    check_installed()
    for name, value in (_ALWAYS | (_LOCAL if local else {})).items():
        os.environ.setdefault(name, value)
    import ray

    return ray


class RayCluster:
    """An executor of `runner` on Ray; use it as a context manager.

    Args:
        store: path or URL of the store.
        probe: name of a file in the store that every machine must see.
        address: of a running cluster (`auto`, HOST:PORT or ray://HOST:PORT); None: starts Ray on this machine.
        cores: of this machine for Ray; None: all that this process may use.

    Raises:
        HeadsplatError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, store: str, probe: str, address: str | None = None, cores: int | None = None) -> None:
        self._ray = _import_ray(local=address is None)
        self._store = store
        self._probe = probe
        self._tasks: dict[Any, str] = {}
        self._known: tuple[float, dict[str, float], dict[str, float]] = (-math.inf, {}, {})
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address is None:
            options |= {
                "address": "local",
                "num_cpus": cores or usable_cores(),
                "object_store_memory": _OBJECT_STORE,
            }
        else:
            options["address"] = address
        try:
            self._ray.init(**options)
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            where = "Ray does not start on this machine" if address is None else f"--address {address}: no Ray cluster"
            raise HeadsplatError(f"{where} ({str(error).splitlines()[0][:200]}); see `ray status`") from error
        self._perform = self._ray.remote(max_retries=0)(perform)

    def __enter__(self) -> RayCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Exception):
            self._ray.shutdown()

    def check(self, needs: Needs) -> None:
        """Raise HeadsplatError if no machine has so many cores or GPUs."""
        largest, _ = self._resources()
        if needs.cores > largest["CPU"]:
            most = f"no machine has more than {largest['CPU']:.0f} cores for Ray"
            raise HeadsplatError(f"--row-cores {needs.cores}: {most}; give fewer")
        if needs.gpus > largest["GPU"]:
            raise HeadsplatError(f"--gpus {needs.gpus:g}: no machine has more than {largest['GPU']:g} GPUs; give fewer")

    def slots(self, needs: Needs) -> int:
        """How many jobs with these needs run at the same time, at least 1."""
        _, total = self._resources()
        counts = [total["CPU"] / needs.cores]
        if needs.gpus:
            counts.append(total["GPU"] / needs.gpus)
        if needs.memory:
            counts.append(total["memory"] / needs.memory)
        return max(1, int(min(counts)))

    def _resources(self) -> tuple[dict[str, float], dict[str, float]]:
        """The largest machine and the sum of all, by kind of resource; asked for again after a while."""
        if time.monotonic() - self._known[0] > _KNOWN_FOR:
            machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            kinds = ("CPU", "GPU", "memory")
            largest = {kind: max((each.get(kind, 0.0) for each in machines), default=0.0) for kind in kinds}
            total = {kind: sum(each.get(kind, 0.0) for each in machines) for kind in kinds}
            self._known = time.monotonic(), largest, total
        return self._known[1:]

    def submit(self, job: Job) -> None:
        """Give a job to Ray, with at most the memory that the largest machine has: it must start somewhere."""
        needs = job.needs
        (largest, _) = self._resources()
        memory = min(needs.memory, int(0.9 * largest["memory"])) or None
        task = self._perform.options(num_cpus=needs.cores, num_gpus=needs.gpus, memory=memory, name=job.key).remote(
            job, self._store, __version__, self._probe
        )
        self._tasks[task] = job.key

    def wait(self, seconds: float) -> list[Outcome | Lost]:
        """The jobs that have ended since the last call; waits up to `seconds` for the first one."""
        done, _ = self._ray.wait(list(self._tasks), timeout=seconds)
        more, _ = self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)
        return [self._outcome(task) for task in dict.fromkeys([*done, *more])]

    def _outcome(self, task: Any) -> Outcome | Lost:
        key = self._tasks.pop(task)
        errors = self._ray.exceptions
        try:
            outcome: Outcome = self._ray.get(task)
            return outcome
        except errors.OutOfMemoryError:
            return Lost(key, f"{key}: its machine had no memory left", no_memory=True)
        except (errors.NodeDiedError, errors.ObjectLostError, errors.OwnerDiedError):
            return Lost(key, f"{key}: its machine has left the cluster")
        except errors.WorkerCrashedError:
            return Lost(key, f"{key}: its worker was killed")
        except errors.RayError as error:
            return Lost(key, f"{key}: Ray lost it ({type(error).__name__}: {str(error).splitlines()[0][:160]})")
