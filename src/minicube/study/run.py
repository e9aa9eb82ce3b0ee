"""A study from its first minute to its report; stopped at any point, it goes on from there."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from minicube._errors import InputError, InternalError
from minicube._files import locked, sweep, write_json
from minicube._machine import processor_name
from minicube.planning import in_words
from minicube.reporting import study_report, write_report
from minicube.scans import LabelScheme
from minicube.study.figures import make_pictures
from minicube.study.folder import StudyFolder
from minicube.study.material import Source, collect_facts, prepare_all
from minicube.study.results import compute_results
from minicube.study.setting import CaseFacts, Plan, Setting
from minicube.study.systems import ABLATION_BASES, AS_REPORTED, SYSTEMS
from minicube.study.units import Unit, units_of

__all__ = ["StudyListener", "StudyRequest", "run_study"]


class StudyListener(Protocol):
    """Hears what a study does."""

    def preparing(self, done: int, total: int) -> None:
        """Cases prepared so far."""

    def timing(self, done: int, total: int) -> None:
        """Configs whose steps were timed so far."""

    def planned(self, units: int, done: int) -> None:
        """How many trainings there are, and how many were made before."""

    def training(self, unit: str, step: int, steps: int) -> None:
        """A training is so far."""

    def finished(self, unit: str) -> None:
        """A training is done, its predictions too."""

    def writing(self) -> None:
        """Tables and pictures are being made."""


@dataclass(frozen=True)
class StudyRequest:
    """What to study, and where to keep it.

    Args:
        data: Folder of labelled real cases in any layout; None for phantoms alone.
        out: Study folder.
        setting: Of the study; that of one that has begun must be the same, if it is to go on.
        labels: Scheme of the references, where their files do not say.
        jobs: Trainings at once, each on the setting's threads.
        train: False writes the report from what is there and trains nothing.
    """

    data: Path | None
    out: Path
    setting: Setting
    labels: LabelScheme | None = None
    jobs: int = 1
    train: bool = True


def run_study(request: StudyRequest, listener: StudyListener) -> StudyFolder:
    """Plan a study, or go on with it, until its report is written.

    Raises:
        InputError: The data cannot be used, or are not those the study began with.
    """
    folder = StudyFolder(request.out)
    if request.train:
        with locked(folder.path):
            sweep(folder.path)
            plan = _plan(folder, request, listener)
            _train(folder, plan, request, listener)
    plan = Plan.read(folder.path)
    source = _source(plan, request)
    listener.writing()
    _write_report(folder, plan, source)
    return folder


def _source(plan: Plan, request: StudyRequest) -> Source:
    source = Source(request.data, request.labels, plan.setting)
    _check_same_data(plan, source)
    return source


def _train(folder: StudyFolder, plan: Plan, request: StudyRequest, listener: StudyListener) -> None:
    """Make all trainings that were not made before."""
    source = _source(plan, request)
    units = units_of(plan)
    waiting = [unit for unit in units if not folder.unit(unit.name).exists()]
    listener.planned(len(units), len(units) - len(waiting))
    if waiting:
        names = [case.case for case in plan.cases]
        found = prepare_all(source, names, folder.prepared, listener.preparing)
        _check_same_cases(plan, found)
        _Crew(folder, request, listener).make(waiting)


def _write_report(folder: StudyFolder, plan: Plan, source: Source) -> None:
    """Write tables, pictures and report from whatever trainings are done."""
    write_json(folder.results, compute_results(folder, plan, source))
    make_pictures(folder, plan, source)
    write_report(folder.report, study_report(folder.path))


def _plan(folder: StudyFolder, request: StudyRequest, listener: StudyListener) -> Plan:
    if Plan.exists(folder.path):
        plan = Plan.read(folder.path)
        _check_same_setting(plan.setting, request.setting)
        return plan
    setting = request.setting
    source = Source(request.data, request.labels, setting)
    if source.data is None and not (setting.phantoms and setting.unseen_phantoms):
        raise InputError(
            "A study needs cases.",
            expected="labelled cases as --data, or phantoms to learn from and unseen ones to test",
        )
    cases = collect_facts(source, folder.prepared, listener.preparing)
    plan = Plan(
        setting=setting,
        cases=tuple(cases),
        seconds_a_step=_time_steps(folder, setting, [c.case for c in cases], listener),
        processor=processor_name(),
        data=source.data.resolve().name if source.data else "phantoms",
    )
    plan.write(folder.path)
    return plan


def _time_steps(
    folder: StudyFolder, setting: Setting, cases: list[str], listener: StudyListener
) -> dict[str, float]:
    """Seconds a step of every config of the study, measured in a process of its own."""
    names = {*setting.systems}
    if setting.as_reported:
        names |= {name + AS_REPORTED for name in names}
    if setting.ablation_minutes:
        names |= {*ABLATION_BASES.values()}
    configs = {name: SYSTEMS[name].config for name in SYSTEMS if name in names}
    write_json(
        folder.timing,
        {
            "threads": setting.threads,
            "cases": cases[:4],
            "configs": {n: c.model_dump(mode="json") for n, c in configs.items()},
        },
    )
    seconds: dict[str, float] = {}
    for line in _spoken(_command(folder, "time", str(folder.timing)), set()):
        seconds[line["name"]] = float(line["seconds"])
        _check_fits(line["name"], int(line["bytes"]), setting.memory)
        listener.timing(len(seconds), len(configs))
    return seconds


def _check_fits(name: str, needed: int, memory: int | None) -> None:
    """Systems are compared as they are: none is made more frugal than the others."""
    if memory is not None and needed > memory:
        raise InputError(
            f"A training of {name} does not fit into {in_words(memory)}.",
            expected=f"at least {in_words(needed)} for each training",
            hint="give more, or leave the system out with --system",
        )


class _Crew:
    """Makes trainings, several at once; one that begins with another's weights waits for it."""

    def __init__(self, folder: StudyFolder, request: StudyRequest, listener: StudyListener) -> None:
        self._folder, self._request, self._listener = folder, request, listener
        self._changed = threading.Condition()
        self._waiting: list[Unit] = []
        self._processes: set[subprocess.Popen[str]] = set()
        self._failed = False

    def make(self, units: list[Unit]) -> None:
        """Make all of them, in order as far as that is possible."""
        self._waiting = [*units]
        with ThreadPoolExecutor(max_workers=self._request.jobs) as pool:
            hands = [pool.submit(self._work) for _ in range(self._request.jobs)]
            try:
                for hand in as_completed(hands):
                    hand.result()
            except BaseException:  # the user's Ctrl-C too
                self._stop()
                raise

    def _stop(self) -> None:
        with self._changed:
            self._failed = True
            for process in self._processes:
                process.terminate()
            self._changed.notify_all()

    def _work(self) -> None:
        while (unit := self._next()) is not None:
            self._make_one(unit)
            with self._changed:
                self._changed.notify_all()

    def _next(self) -> Unit | None:
        """The first that can be made now; waits while others must be done before; None to stop."""
        with self._changed:
            while self._waiting and not self._failed:
                ready = next((unit for unit in self._waiting if self._is_ready(unit)), None)
                if ready is not None:
                    self._waiting.remove(ready)
                    return ready
                self._changed.wait()
        return None

    def _is_ready(self, unit: Unit) -> bool:
        return unit.start is None or self._folder.unit(unit.start).exists()

    def _make_one(self, unit: Unit) -> None:
        data, labels = self._request.data, self._request.labels
        words = (str(data or ""), labels.value if labels else "", unit.name)
        for line in _spoken(_command(self._folder, *words), self._processes):
            if "step" in line:
                self._listener.training(unit.name, int(line["step"]), int(line["steps"]))
        self._listener.finished(unit.name)


def _command(folder: StudyFolder, *words: str) -> list[str]:
    return [sys.executable, "-m", "minicube.study.worker", str(folder.path), *words]


def _spoken(command: list[str], processes: set[subprocess.Popen[str]]) -> Iterator[dict[str, Any]]:
    """Lines of JSON that a process of ours says; it is among ``processes`` while it runs.

    Raises:
        InternalError: It failed; what it complained of is in the message.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # it ends when this does
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        processes.add(process)
        complaints: list[str] = []
        reader = threading.Thread(target=lambda: complaints.extend(process.stderr or ()))
        reader.start()
        try:
            for line in process.stdout:
                yield json.loads(line)
        finally:
            if process.poll() is None and sys.exc_info()[0] is not None:
                process.terminate()
            code = process.wait()
            reader.join()
            processes.discard(process)
    if code:
        last = "".join(complaints[-12:])
        raise InternalError(f"A training of the study ended with exit code {code}:\n{last}")


def _check_same_setting(begun: Setting, asked: Setting) -> None:
    now, then = asked.model_dump(mode="json"), begun.model_dump(mode="json")
    unlike = [f"{key} {now[key]}, begun with {then[key]}" for key in now if now[key] != then[key]]
    if unlike:
        raise InputError(
            "This study was begun with other options.",
            found="; ".join(unlike),
            hint="give the options it was begun with, or another folder",
        )


def _check_same_cases(plan: Plan, found: Mapping[str, CaseFacts]) -> None:
    """Cases prepared anew must be those that the folds were made for."""
    known = {case.case: case for case in plan.cases}
    changed = [
        name
        for name, facts in found.items()
        if (facts.voxels, facts.box_start, facts.box_stop)
        != (known[name].voxels, known[name].box_start, known[name].box_stop)
        or known[name].origin not in (facts.origin, None)
    ]
    if changed:
        raise InputError(
            "Cases are not what they were when the study began.",
            found=", ".join(sorted(changed)),
            hint="bring them back, or begin anew in another folder",
        )


def _check_same_data(plan: Plan, source: Source) -> None:
    real = {case.case for case in plan.cases if case.group == "real"}
    missing = real - source.real.keys()
    if missing:
        raise InputError(
            "The study began with cases that are not there now.",
            found=f"missing: {', '.join(sorted(missing))}",
            hint="give the folder it began with as --data",
        )
