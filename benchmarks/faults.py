"""What faults lose: processes killed at random points, full disks, damaged files; a count of it.

    python benchmarks/faults.py [--kills 100] [--work FOLDER] [--json FILE] [--table]

Trainings, preparations, cohorts and studies on tiny cases are killed (SIGKILL) in mid-work, some
several times, begun again with the same command, and their results compared, byte for byte, with
those of a run that nothing disturbed: weights, label maps, metrics, prepared cases. A kill has
*landed* when work had begun, was not done, and the process died of it. So are they asked to stop
(SIGINT), left without room, without leave to write, and met by a second process. `--table` only
puts the counts that there are into `docs/reliability.md`.

Each process is a fork of one that has imported the program, so that imports are paid once; what a
study starts is as always. Linux; one core. Stopped, the same command goes on: a round that was
not finished is made anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch: no threads in what is forked
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from struck import FORKS, Disk, Kind, Process, children, wait_for_work

from minicube._errors import InputError
from minicube._files import write_json

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
MARKS: Final = ("<!-- faults -->\n", "<!-- /faults -->")
RESULTS = Path(__file__).parent / "results" / "faults.json"
PRELOAD = ["torch", "monai.transforms", "lightning_fabric", "openvino", "minicube.cli.train"]
PRELOAD += ["minicube.training", "minicube.study", "minicube.cli.segment", "minicube.reporting"]
SHARES: Final = {"training": 0.4, "preparation": 0.25, "cohort": 0.2, "study": 0.15}  # of kills
AT_ONCE: Final = 3  # kills of one run before it may end
OTHERS: Final = {"Ctrl-C": 10, "full disk": 8, "read-only output": 4, "second process": 4}
KILLED = -signal.SIGKILL


@dataclass
class Count:
    """Of one kind of fault.

    Args:
        tries: Processes that it was tried on.
        landed: Of them, those that it met in mid-work.
        lost: Runs whose results were not those of an undisturbed one, or that did not go on.
        runs: Compared in the end.
        where: How often it met what.
        rounds: Made so far; the next one has this number.
    """

    tries: int = 0
    landed: int = 0
    lost: int = 0
    runs: int = 0
    where: dict[str, int] = field(default_factory=dict)
    rounds: int = 0

    def met(self, what: str) -> None:
        """Count a fault that landed."""
        self.landed += 1
        self.where[what] = self.where.get(what, 0) + 1


class Harness:
    """Makes rounds until there are enough, and keeps count after each."""

    def __init__(self, work: Path, out: Path) -> None:
        self.work, self.out = work, out
        work.mkdir(parents=True, exist_ok=True)
        self.counts: dict[str, Count] = {}
        if out.exists():
            kept = json.loads(out.read_text(encoding="utf-8"))["counts"]
            self.counts = {name: Count(**values) for name, values in kept.items()}

    def count(self, name: str) -> Count:
        """Of a kind."""
        return self.counts.setdefault(name, Count())

    def keep(self) -> None:
        """Write the counts down."""
        landed = sum(self.counts[name].landed for name in SHARES if name in self.counts)
        lost = sum(count.lost for count in self.counts.values())
        counts = {name: asdict(count) for name, count in self.counts.items()}
        write_json(self.out, {"kills_landed": landed, "lost": lost, "counts": counts})

    @cached_property
    def data(self) -> Path:
        """A dozen tiny cases, and four."""
        from small_cases import write_small_dataset

        folder = self.work / "data"
        if not folder.exists():
            part = self.work / "part"
            shutil.rmtree(part, ignore_errors=True)
            write_small_dataset(part / "twelve", 12)
            write_small_dataset(part / "four", 4)
            part.rename(folder)
        return folder

    @cached_property
    def model(self) -> Path:
        """A model by lot, exported: it finds something, always the same."""
        from small_models import write_small_model

        path = self.work / "model.onnx"
        if not path.exists():
            shutil.rmtree(self.work / "lot", ignore_errors=True)
            run = write_small_model(self.work / "lot", 5)
            assert Process(["export", str(run), "-o", str(path)], self.work / "log").wait() == 0
        return path

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """All that is killed."""
        kinds = (self._training(), self._preparation(), self._cohort(), self._study())
        return {kind.name: kind for kind in kinds}

    def _config(self, name: str, **values: Any) -> Path:
        path = self.work / f"{name}.json"
        small = {"widths": [4, 8], "window": [16, 16, 16], "warmup": 0, "validation_share": 0.3}
        write_json(path, small | values)
        return path

    def _training(self, name: str = "training", **values: Any) -> Kind:
        config = self._config(name, **({"steps": 60, "validations": 5, "average": 0.9} | values))
        data = self.data / "four"
        return Kind(
            name,
            lambda run: ["train", "--data", str(data), "--out", str(run), "--config", str(config)],
            _resume,
            ("weights.safetensors", "metrics.csv", "validation.json", "model.json", "split.json"),
            lambda run: (run / "report.html").exists(),
            lambda run: "steps" if (run / "checkpoint.pt").exists() else "before the first step",
        )

    def _preparation(self) -> Kind:
        config = self._config("preparation", steps=1, validations=1)
        data = self.data / "twelve"
        return Kind(
            "preparation",
            lambda run: ["train", "--data", str(data), "--out", str(run), "--config", str(config)],
            _resume,
            ("prepared/*/*", "sources.json", "weights.safetensors"),
            lambda run: (run / "config.json").exists(),
            lambda run: f"{len([*run.glob('prepared/*/case.json')]) // 4 * 4} cases or a few more",
        )

    def _cohort(self) -> Kind:
        data, model = self.data / "twelve", self.model
        return Kind(
            "cohort",
            lambda out: ["segment", str(data), "-o", str(out), "--model", str(model)],
            lambda _: [],
            ("*.nii.gz", "*.json", "*.csv"),
            lambda out: (out / "volumes.csv").exists(),
            lambda out: f"{len([*out.glob('[!.]*.nii.gz')]) // 4 * 4} cases or a few more",
        )

    def _study(self) -> Kind:
        words = ["study", "--data", str(self.data / "four"), "--minutes", "0.001"]
        words += ["--no-as-reported", "--ablation-minutes", "0", "--phantoms", "0"]
        words += ["--unseen-phantoms", "0", "--folds", "2", "--system", "segnet"]
        plan = self.work / "study.json"
        if not plan.exists():
            # Seconds a step are measured, and would differ from run to run: all have this plan.
            first = self.work / "first"
            shutil.rmtree(first, ignore_errors=True)
            log = self.work / "first.log"
            assert Process([*words, "--out", str(first)], log).wait() == 0, log
            made = json.loads((first / "study.json").read_text(encoding="utf-8"))
            made["seconds_a_step"] = dict.fromkeys(made["seconds_a_step"], 0.06 / 3)
            write_json(plan, made)

        def ready(out: Path) -> None:
            out.mkdir(parents=True)
            shutil.copy(plan, out / "study.json")

        return Kind(
            "study",
            lambda out: [*words, "--out", str(out)],
            lambda _: [],
            (
                "work/runs/**/weights.safetensors",
                "work/runs/**/metrics.csv",
                "predictions/**/*.nii.gz",
                "units/**/*.json",
                "results.json",
            ),
            lambda out: (out / "report.html").exists(),
            lambda out: f"{len([*out.glob('units/**/[!.]*.json')])} of 3 trainings made",
            ready,
        )

    def undisturbed(self, kind: Kind) -> tuple[dict[str, str], float]:
        """What a kind gives when it is left alone, and the seconds that it works."""
        known = self.work / f"undisturbed-{kind.name}.json"
        if not known.exists():
            folder = self._fresh(f"undisturbed-{kind.name}", kind)
            process = kind.start(folder, self.work / "log")
            assert wait_for_work(process, folder), self.work / "log"
            began = time.monotonic()
            while process.code is None and not kind.ended(folder):
                time.sleep(0.01)
            seconds = time.monotonic() - began
            assert process.wait() == 0, self.work / "log"
            write_json(known, {"sums": kind.sums(folder), "seconds": seconds})
            shutil.rmtree(folder)
        kept = json.loads(known.read_text(encoding="utf-8"))
        return kept["sums"], kept["seconds"]

    def _fresh(self, where: str, kind: Kind) -> Path:
        """A folder for a run; its last name is always the same, as runs are called by it."""
        home = self.work / where
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        kind.ready(home / "run")
        return home / "run"

    def kill_some(self, kind: Kind) -> None:
        """One round: a run that is killed up to :data:`AT_ONCE` times, and then ends."""
        count = self.count(kind.name)
        rng = _random(kind.name, count.rounds)
        expected, seconds = self.undisturbed(kind)
        folder, log = self._fresh("round", kind), self.work / "log"
        made = Count()
        for _ in range(AT_ONCE):
            process = kind.start(folder, log)
            made.tries += 1
            if not wait_for_work(process, folder):
                break
            time.sleep(rng.uniform(0, seconds * 0.5))
            what = kind.where(folder)
            victim = self._strike(kind, process, rng)
            process.wait()
            if process.code == 0 or kind.ended(folder):
                break
            made.met(what + victim)
        self._finish(kind, folder, expected, made)
        self._add(count, made)

    def _strike(self, kind: Kind, process: Process, rng: Any) -> str:
        """Kill a process; of a study at times all that it started too, or one of those alone."""
        if kind.name != "study":
            process.send(signal.SIGKILL)
            return ""
        started = children(process.number)
        match rng.randrange(3):
            case 0:
                process.send(signal.SIGKILL, whole=True)
                return ", all its processes"
            case 1 if started:
                os.kill(rng.choice(started), signal.SIGKILL)
                return ", a training's process"
        process.send(signal.SIGKILL)
        return ", its own process"

    def _finish(self, kind: Kind, folder: Path, expected: dict[str, str], made: Count) -> None:
        """Let a run end, and compare."""
        log = self.work / "log"
        code = kind.start(folder, log).wait()
        found = kind.sums(folder) if code == 0 else {}
        made.runs += 1
        if found != expected:
            made.lost += 1
            unlike = [name for name in {*found, *expected} if found.get(name) != expected.get(name)]
            kept = self.work / f"lost-{kind.name}-{time.time_ns()}"
            folder.parent.rename(kept)
            print(f"LOST: {kind.name}, code {code}, unlike: {sorted(unlike)}, kept in {kept}")
            print(log.read_text(encoding="utf-8", errors="replace")[-2000:], flush=True)

    def _add(self, count: Count, made: Count) -> None:
        count.tries += made.tries
        count.landed += made.landed
        count.lost += made.lost
        count.runs += made.runs
        count.where = dict(Counter(count.where) + Counter(made.where))
        count.rounds += 1
        self.keep()

    def interrupt(self) -> None:
        """One Ctrl-C in a training: it ends at once with 130, has saved, and goes on."""
        kind, count, made = self.kinds["training"], self.count("Ctrl-C"), Count()
        rng = _random("Ctrl-C", count.rounds)
        expected, seconds = self.undisturbed(kind)
        folder, log = self._fresh("round", kind), self.work / "log"
        log.unlink(missing_ok=True)
        process = kind.start(folder, log)
        made.tries += 1
        while process.code is None and not (folder / "checkpoint.pt").exists():
            time.sleep(0.005)
        time.sleep(rng.uniform(0, seconds * 0.6))
        process.send(signal.SIGINT)
        if process.wait() == 130:
            made.met("saved" if "is saved" in _said(log) else "elsewhere")
        self._finish(kind, folder, expected, made)
        self._add(count, made)

    def fill_disk(self) -> None:
        """One run on a disk that is too small, at first: refused in words, and goes on."""
        count, made = self.count("full disk"), Count()
        rng = _random("full disk", count.rounds)
        kind = self.kinds[("training", "cohort", "preparation")[count.rounds % 3]]
        # Kilobytes: about what the whole of it takes.
        most = {"training": 900, "cohort": 110, "preparation": 1800}[kind.name]
        with_room = "size=64m"
        with Disk(self.work / "disk", f"size={rng.randrange(64, most)}k") as disk:
            folder = self._crowded(kind, disk, made, "cannot be written")
            disk.again(with_room)
            self._finish(kind, folder, self.undisturbed(kind)[0], made)
        self._add(count, made)

    def forbid_writing(self) -> None:
        """One run whose disk cannot be written to, from some point on."""
        count, made = self.count("read-only output"), Count()
        rng = _random("read-only output", count.rounds)
        kind = self.kinds[("training", "cohort")[count.rounds % 2]]
        expected, seconds = self.undisturbed(kind)
        with Disk(self.work / "disk", "size=64m") as disk:
            folder, log = disk.path / "run", self.work / "log"
            kind.ready(folder)
            log.unlink(missing_ok=True)
            process = kind.start(folder, log)
            made.tries += 1
            if wait_for_work(process, folder):
                time.sleep(rng.uniform(0, seconds * 0.5))
                disk.forbid(process)
                if process.wait() in (2, 3) and "cannot be written" in _said(log):
                    made.met(kind.name)
            disk.again("rw")
            self._finish(kind, folder, expected, made)
        self._add(count, made)

    def _crowded(self, kind: Kind, disk: Disk, made: Count, words: str) -> Path:
        folder, log = disk.path / "run", self.work / "log"
        kind.ready(folder)
        log.unlink(missing_ok=True)
        code = kind.start(folder, log).wait()
        made.tries += 1
        if code in (2, 3) and words in _said(log):
            made.met(kind.name)
        elif code:
            made.lost += 1
            print(f"full disk, {kind.name}: code {code}\n{log.read_text('utf-8')[-1500:]}")
        return folder

    def meet(self) -> None:
        """A second process on a run's folder: refused, and the first does not notice."""
        kind, count, made = self.kinds["training"], self.count("second process"), Count()
        expected, _ = self.undisturbed(kind)
        folder, log = self._fresh("round", kind), self.work / "log"
        first = kind.start(folder, log)
        wait_for_work(first, folder)
        other = self.work / "other.log"
        other.unlink(missing_ok=True)
        made.tries += 1
        code = kind.start(folder, other).wait()
        if first.code is None and code == 2 and "at work" in _said(other):
            made.met("refused")
        made.runs += 1
        made.lost += first.wait() != 0 or kind.sums(folder) != expected
        self._add(count, made)

    def truncate(self) -> None:
        """A checkpoint cut short at every length: refused in words, each."""
        from minicube.training import RunFolder

        count = self.count("checkpoint cut short")
        if count.rounds:
            return
        kind, made = self._training("smallest", widths=[1, 2], steps=2, validations=1), Count()
        expected, _ = self.undisturbed(kind)
        folder = self._fresh("round", kind)
        assert kind.start(folder, self.work / "log").wait() == 0
        path = folder / "checkpoint.pt"
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            made.tries += 1
            try:
                RunFolder(folder).read_checkpoint()
                made.lost += 1
            except InputError:
                made.landed += 1
        made.where = {"refused": made.landed}
        path.write_bytes(whole)
        self._finish(kind, folder, expected, made)
        self._add(count, made)


def _random(*seed: object) -> Any:
    import random

    return random.Random(repr(seed))


def _said(log: Path) -> str:
    """What a process printed, in one line: it wraps where its terminal ends."""
    return " ".join(log.read_text(encoding="utf-8", errors="replace").split())


def _resume(run: Path) -> list[str]:
    return ["--resume"] if (run / "config.json").exists() else []


def table(results: dict[str, Any]) -> str:
    """The counts as `docs/reliability.md` shows them."""
    lines = ["| fault | tried | landed | runs compared | lost |", "| --- | --: | --: | --: | --: |"]
    for name, count in results["counts"].items():
        title = f"kill -9: {name}" if name in SHARES else name
        cells = (count["tries"], count["landed"], count["runs"], count["lost"])
        lines.append(f"| {title} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def run_all(harness: Harness, kills: int) -> None:
    """Rounds of all kinds in turn, until there are enough of each."""
    wanted = {name: round(kills * share) for name, share in SHARES.items()}
    others = {
        "Ctrl-C": harness.interrupt,
        "full disk": harness.fill_disk,
        "read-only output": harness.forbid_writing,
        "second process": harness.meet,
    }
    while True:
        waiting = [name for name in wanted if harness.count(name).landed < wanted[name]]
        waiting += [name for name in others if harness.count(name).landed < OTHERS[name]]
        if not waiting:
            harness.truncate()
            return
        for name in waiting:
            if name in wanted:
                harness.kill_some(harness.kinds[name])
            else:
                others[name]()
            count = harness.count(name)
            told = f"{count.tries} tried, {count.landed} landed, {count.lost} lost"
            print(f"{name}: {told}", flush=True)


def main() -> int:
    """Make rounds, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/minicube-faults"))
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.table:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(MARKS[0])
        _, after = rest.split(MARKS[1])
        made = table(json.loads(given.json.read_text(encoding="utf-8")))
        PAGE.write_text(f"{before}{MARKS[0]}{made}\n{MARKS[1]}{after}", encoding="utf-8")
        return 0
    if not given.alone:  # in a space of its own, where it may mount disks that nobody else sees
        words = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, *sys.argv]
        return subprocess.run([*words, "--alone"], check=False).returncode
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    FORKS.set_forkserver_preload(PRELOAD)
    harness = Harness(given.work, given.json)
    run_all(harness, given.kills)
    print(table(json.loads(given.json.read_text(encoding="utf-8"))))
    return 1 if any(count.lost for count in harness.counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
