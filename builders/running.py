"""One command run in a slot, whatever keeps it in: its pipes, its limits, the watch, and the proof of its end."""

from __future__ import annotations

import asyncio
import os
import platform
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from buildthrough.builders import seccomp
from buildthrough.builders.cgroup import Cgroup, Usage
from buildthrough.builders.channel import LONGEST_LINE, PipeChannel
from buildthrough.builders.clock import Clock
from buildthrough.builders.faults import InfrastructureFault, SlotFault
from buildthrough.builders.host import count_tasks, survey_host, survey_root
from buildthrough.builders.leash import Leash
from buildthrough.builders.log import Log
from buildthrough.builders.pipes import Pipes
from buildthrough.builders.remains import Marks, find_remains
from buildthrough.builders.sandbox import Ending
from buildthrough.builders.supervision import SET_UP_SECONDS, Supervision
from buildthrough.builders.walls import Ends, Plan
from buildthrough.builders.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from buildthrough.builders.profile import Host
    from buildthrough.builders.sandbox import Channel, Command, Limits, Overrun
    from buildthrough.builders.slot import Slot
    from buildthrough.builders.walls import Processes, Walls

T = TypeVar("T")
_SET_UP_TASKS = 4
"""Of the limit of processes, what the set-up takes itself, and one to tell that there is none left."""
_SPARE_TASKS = 32
"""Beyond the limit of the control group, which counts refusals, until that of the user refuses, which counts none."""


class Runner:
    """Runs one command at a time in one slot. Opens nothing until then."""

    def __init__(self, slot: Slot, walls: Walls, *, host: Host | None = None) -> None:
        """Keep commands in by ``walls``; ``host`` is looked at where it is not given."""
        self._slot = slot
        self._walls = walls
        self._host = host
        self._turn = asyncio.Lock()
        self._out_of_service: SlotFault | None = None

    async def run(self, command: Command, talk: Callable[[Channel], Awaitable[T]]) -> tuple[T | None, Ending]:
        """Run the command, hold the dialogue, wait until every process of it is dead. See `Sandbox.run`."""
        async with self._turn:
            if self._out_of_service is not None:
                raise SlotFault("infra.remains", f"the slot is out of service: {self._out_of_service.line}")
            stop = asyncio.Event()
            return await until_done(asyncio.create_task(self._run(command, talk, stop)), stop)

    async def _run(
        self, command: Command, talk: Callable[[Channel], Awaitable[T]], stop: asyncio.Event
    ) -> tuple[T | None, Ending]:
        plan = await asyncio.to_thread(self._plan, command, stop)
        try:
            return await _run_in_cgroup(plan, self._walls, talk)
        except SlotFault as fault:
            self._out_of_service = fault
            raise

    def _plan(self, command: Command, stop: asyncio.Event) -> Plan:
        """Refuse what would not isolate, and look at the machine. Blocking."""
        slot = self._slot
        if (os.geteuid() if slot.uid is None else slot.uid) == 0:
            raise InfrastructureFault("infra.sandbox", "nothing is built as root: root inside would be root outside")
        if self._host is None:
            self._host = survey_host()
        processes = command.limits.processes
        if slot.uid is None:
            processes += count_tasks(os.geteuid())
        elif slot.hierarchy is not None:
            processes += _SPARE_TASKS
        return Plan(
            command=command,
            host=self._host,
            root=survey_root(command.root or Path("/")),
            architecture=_architecture(),
            user=slot.user,
            processes=processes,
            cgroup=None if slot.hierarchy is None else Cgroup(slot.hierarchy, slot.index),
            stop=stop,
        )


async def until_done(running: asyncio.Task[T], stop: asyncio.Event) -> T:
    """Wait for what runs, which cleans up: a caller who is cancelled sets ``stop``, and waits all the same."""
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError as error:  # not handed on
            cancelled = error
            stop.set()
    if cancelled is None:
        return running.result()
    if not running.cancelled():
        running.exception()  # seen; the caller has left
    raise cancelled


async def _run_in_cgroup(plan: Plan, walls: Walls, talk: Callable[[Channel], Awaitable[T]]) -> tuple[T | None, Ending]:
    if plan.cgroup is None:
        return await _run_in_pipes(plan, walls, talk)
    limits = plan.command.limits
    try:
        await asyncio.to_thread(plan.cgroup.create, memory_bytes=limits.memory_bytes, processes=limits.processes)
        return await _run_in_pipes(plan, walls, talk)
    finally:
        await asyncio.to_thread(plan.cgroup.remove)


async def _run_in_pipes(plan: Plan, walls: Walls, talk: Callable[[Channel], Awaitable[T]]) -> tuple[T | None, Ending]:
    limits = plan.command.limits
    clock = Clock()
    async with Pipes() as pipes:
        log, log_end = await pipes.reader(lambda: Log(limits.log_bytes, clock.hear))
        if plan.user is not None:
            os.fchown(log_end, *plan.user)  # else opening /dev/stderr, as scripts do, is refused
        messages, messages_end = await pipes.stream(LONGEST_LINE)
        answers, answers_end = await pipes.writer()
        leash, leash_end = await pipes.writer()
        ready, ready_end = await pipes.stream(LONGEST_LINE)
        ends = Ends(
            answers=answers_end,
            messages=messages_end,
            streams=(leash_end, ready_end, log_end),
            leash=Leash(ready, leash, partial(_begin, clock, plan.cgroup if plan.command.gives_way else None)),
        )
        try:
            tree = await walls.start(plan, pipes, ends)
        except OSError as error:
            raise InfrastructureFault("infra.sandbox", f"the sandbox cannot be started: {error}") from error
        pipes.close_inner()
        watchdog = Watchdog(
            tree.found,
            limits,
            cgroup=plan.cgroup,
            folders=walls.folders,
            starved=lambda seconds: clock.forgive(seconds, limits),
        )
        supervision = Supervision(
            tree=tree,
            channel=PipeChannel(messages, answers, clock),
            log=log,
            clock=clock,
            limits=limits,
            watchdog=watchdog,
            stop=plan.stop,
            dies=(lambda: None) if plan.cgroup is None else plan.cgroup.hurry,
        )
        return await _outcome(plan, supervision, watchdog, tree, talk)


def _begin(clock: Clock, cgroup: Cgroup | None) -> None:
    """Count the command's time, and let it have only what others leave: its set-up, which is ours, is neither."""
    if cgroup is not None:
        cgroup.give_way()
    clock.begin()


async def _outcome(
    plan: Plan, supervision: Supervision, watchdog: Watchdog, tree: Processes, talk: Callable[[Channel], Awaitable[T]]
) -> tuple[T | None, Ending]:
    fault: Exception | None = None
    value: T | None = None
    try:
        value = await supervision.hold(talk)
    except Exception as error:  # noqa: BLE001 # raised again below, unless there was nothing to talk to
        fault = error
    await _prove_the_end(plan, tree, fault)
    usage = await asyncio.to_thread(_usage, plan, watchdog)
    overrun = _overrun(plan.command.limits, supervision, usage)
    if supervision.stuck:
        raise InfrastructureFault("infra.sandbox", f"the sandbox was not set up within {SET_UP_SECONDS:g} seconds")
    if not (tree.ran or overrun or plan.stop.is_set()):
        raise InfrastructureFault("infra.sandbox", _complaint(supervision.log)) from fault
    if fault is not None:
        raise fault
    return value, Ending(
        exit_code=supervision.exit_code,
        overrun=overrun,
        log=supervision.log,
        seconds=supervision.seconds,
        peak_memory_bytes=usage.peak_bytes,
        cpu_seconds=usage.cpu_seconds,
        refused_forks=usage.refused_forks,
    )


async def _prove_the_end(plan: Plan, tree: Processes, fault: Exception | None) -> None:
    """Look whether anything is left. Raise `SlotFault` where it is; what had gone wrong before is told with it."""
    if isinstance(fault, SlotFault):
        raise fault
    uid = None if plan.user is None or plan.cgroup is None else plan.user[0]
    marks = Marks(uid=uid, namespace=tree.namespace, cgroup=plan.cgroup)
    if left := await asyncio.to_thread(find_remains, marks):
        raise SlotFault("infra.remains", f"processes of a build outlived it: {', '.join(left)[:400]}") from fault


def _usage(plan: Plan, watchdog: Watchdog) -> Usage:
    """Return what the kernel has counted, or what was seen where it does not count. Blocking."""
    if plan.cgroup is None:
        as_many_as_allowed = watchdog.peak_tasks >= plan.command.limits.processes - _SET_UP_TASKS
        return Usage(
            peak_bytes=watchdog.peak_bytes,
            oom_kills=0,
            refused_forks=int(as_many_as_allowed),
            cpu_seconds=watchdog.cpu_seconds,
        )
    usage = plan.cgroup.usage()
    return usage if usage.cpu_seconds is not None else replace(usage, cpu_seconds=watchdog.cpu_seconds)


def _overrun(limits: Limits, supervision: Supervision, usage: Usage) -> Overrun | None:
    """Return the limit that ended it; what the kernel says counts more than what we saw first."""
    if usage.oom_kills:
        return "memory"
    if supervision.overrun is None and supervision.exit_code and (usage.cpu_seconds or 0) >= limits.cpu_seconds:
        return "cpu"  # a process was alone with it, and the kernel killed it before we looked
    return supervision.overrun


def _complaint(log: bytes) -> str:
    """Return what the programs that set the sandbox up said last."""
    lines = log.decode("utf-8", "replace").strip().splitlines()
    return f"the sandbox cannot be set up: {lines[-1][:400] if lines else 'no reason was given'}"


def _architecture() -> seccomp.Architecture:
    machine = platform.machine()
    for architecture in seccomp.AUDIT_ARCH:
        if architecture == machine:
            return architecture
    raise InfrastructureFault("infra.sandbox", f"there is no system call filter for {machine} machines")
