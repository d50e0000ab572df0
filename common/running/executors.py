"""Where programs run: processes of this machine, a Ray cluster, or Slurm through submitit. The
results are the same.

    ./run_all.sh --executor ray      a running cluster (RAY_ADDRESS) or one of this machine's cores
    ./run_all.sh --executor slurm    a job array; without Slurm, submitit's processes of this
                                     machine

A program is one task. Whoever runs it builds its data if they are not there, writes checkpoints to
its own results folder and hands the results back; only the command that was started stores them,
records them and draws tables. A cell that others learn from, a world model, is no result that is
handed back: the first program that needs it trains, stores and records it where that runs, and the
others wait for it, so that they need a results folder that they share.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import torch

from common.running import environment, faults, interrupt, work
from common.running.cells import Cell, runs_folder
from common.running.options import BadInput
from common.running.provenance import ROOT

EXECUTORS = ("local", "ray", "slurm")
RETRIES = 3  # of a task whose node died
SLURM_MINUTES = 24 * 60


def available(executor: str) -> None:
    """Raises BadInput for an executor that is not known or not installed."""
    if executor not in EXECUTORS:
        raise BadInput(f"executor is {executor!r}, expected one of: {', '.join(EXECUTORS)}")
    package = {"ray": "ray", "slurm": "submitit"}.get(executor)
    if package and importlib.util.find_spec(package) is None:
        hint = f"pip install {package}, or use --executor local"
        raise BadInput(f"executor {executor!r} needs the package {package}: {hint}")


class Task:
    """One program, to be called where it runs; submitit queues it again from its checkpoint if
    Slurm takes the node.
    """

    def __init__(self, group: list[Cell], device: str):
        self.group, self.device = group, device

    def __call__(self) -> list[dict]:
        """One result per cell."""
        torch.set_num_threads(1)
        known = work.paper(self.group[0].paper)
        for cell in self.group:
            known.data.prepare(cell)
        path = work.checkpoint_path(self.group)  # left there until the results are stored
        return known.train(
            self.group, work.pick_device(self.device), path, lambda done, total: None
        )

    def checkpoint(self):
        """What submitit submits again; training goes on from the checkpoint on the shared disk."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def run(
    cells: list[Cell],
    executor: str,
    jobs: int | None,
    device: str,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Runs whatever is not done on an executor other than local; returns what failed, a sentence
    each.

    Raises:
        Interrupted: at Ctrl-C or SIGTERM, after what is still running was told to end.
        Busy: another command is writing these results.
    """
    available(executor)
    interrupt.listen()
    device = work.pick_device(device) if executor == "ray" else device
    return work.exclusively(cells, lambda todo: _run(todo, executor, jobs, device, say))


def _run(
    todo: list[Cell], executor: str, jobs: int | None, device: str, say: Callable[[str], None]
) -> list[str]:
    # As a task of its own a world model would be trained twice: whoever needs it first trains it
    needed = {other for cell in todo for other in work.paper(cell.paper).needs(cell)}
    groups = work.programs([cell for cell in todo if cell not in needed])
    tasks = [Task(group, device) for group in groups]
    begin = on_ray if executor == "ray" else on_slurm
    failures: list[work.Failure] = []
    for finished, (task, outcome) in enumerate(begin(tasks, jobs, device), 1):
        slots = [cell.slot for cell in task.group]
        if isinstance(outcome, Exception):
            failures.append(work.Failure(slots, reason(outcome)))
        else:
            work.keep(task.group, outcome)
            work.forget_program(work.checkpoint_path(task.group))
        how = "failed" if isinstance(outcome, Exception) else "done"
        names = f"{task.group[0].paper}/{work.several(slots)}"
        say(f"{finished} of {len(tasks)} programs: {names} {how}")
    return work.sentences(failures)


def reason(error: Exception) -> str:
    """Why a task failed elsewhere, in one line; its own traceback, which the message holds, goes to
    the log.
    """
    lines = [line for line in str(error).splitlines() if "Error" in line] or [str(error)]
    said = f"{type(error).__name__}: {lines[-1].strip()}"
    path = faults.log(error)
    return f"{said} (traceback in {path})" if path else said


def on_ray(
    tasks: list[Task], jobs: int | None, device: str
) -> Iterator[tuple[Task, list[dict] | Exception]]:
    """Every task with its results or what went wrong, as they finish."""
    import ray

    if not ray.is_initialized():
        variables = {name: value for name, value in os.environ.items() if name.startswith("OMZ_")}
        variables |= {
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "OMP_NUM_THREADS": "1",
        }
        address = os.environ.get("RAY_ADDRESS", "local")
        cores = {"num_cpus": jobs or os.cpu_count()} if address == "local" else {}
        ray.init(
            address=address,
            runtime_env={"env_vars": variables},
            log_to_driver=False,
            include_dashboard=False,
            **cores,
        )
    remote = ray.remote(num_cpus=1, num_gpus=float(device == "cuda"), max_retries=RETRIES)(
        Task.__call__
    )
    waiting = {remote.remote(task): task for task in tasks}
    try:
        while waiting:
            (ready,), _ = ray.wait(list(waiting))
            task = waiting.pop(ready)
            try:
                yield task, ray.get(ready)
            except Exception as error:  # a failed task must not take the others with it
                yield task, error
    finally:
        for left in waiting:  # none, unless we were told to end
            ray.cancel(left, force=True)


def on_slurm(
    tasks: list[Task], parallel: int | None, device: str
) -> Iterator[tuple[Task, list[dict] | Exception]]:
    """As `on_ray`, as one job array; what Slurm is told beyond that comes from OMZ_SLURM,
    "partition=gpu,account=x".

    "cluster=local" stands for submitit's own processes, which also serve where there is no Slurm.

    Raises:
        BadInput: Slurm does not take the jobs.
    """
    import submitit

    asked = os.environ.get("OMZ_SLURM", "")
    environment.pairs("OMZ_SLURM", asked)
    words = [word for word in asked.split(",") if word]
    extra = dict(word.split("=", 1) for word in words)
    executor = submitit.AutoExecutor(
        folder=runs_folder() / "slurm", cluster=extra.pop("cluster", None)
    )
    executor.update_parameters(
        timeout_min=SLURM_MINUTES,
        cpus_per_task=1,
        gpus_per_node=int(device == "cuda"),
        name="offline-marl-zoo",
        **(
            {"slurm_array_parallelism": parallel or len(tasks)}
            if executor.cluster == "slurm"
            else {}
        ),
        **{f"slurm_{key}": value for key, value in extra.items()},
    )
    print(
        f"{len(tasks)} programs on {executor.cluster}, logs in {executor.folder}", file=sys.stderr
    )
    try:
        jobs = dict(zip(executor.submit_array(tasks), tasks, strict=True))
    except (subprocess.CalledProcessError, submitit.core.utils.FailedJobError) as error:
        said = str(error).strip().splitlines()[-1]
        hint = "is it up (sinfo)? OMZ_SLURM=cluster=local does without it"
        raise BadInput(f"Slurm did not take the jobs: {said}; {hint}") from None
    try:
        for job in submitit.helpers.as_completed(
            list(jobs), poll_frequency=10 if executor.cluster == "slurm" else 1
        ):
            outcome: list[dict] | Exception
            try:
                outcome = job.result()
            except Exception as error:  # a failed task must not take the others with it
                outcome = error
            yield jobs[job], outcome
    finally:
        # those that run if we were told to end, and those that Slurm queued again although they had
        # ended
        for job in jobs:
            job.cancel()
