"""An archive watched: complete studies fetched, handed on, and what was found in them stored back.

Never twice, whatever ends the process: what is begun and what lies on disk is noted before
anything is sent; before each object is sent the archive is asked whether it holds it; and a
segmentation says in itself what it was made from, so that a lost record costs a look.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final, Never

from minicube._errors import InputError, MinicubeError, NotPrepared
from minicube._files import locked
from minicube.dicom import (
    OBJECTS,
    MadeFrom,
    NotRecognised,
    Study,
    made_from,
    open_study,
    require_clear,
)
from minicube.pacs.archive import Archive, Broken, SeriesEntry, Unreachable
from minicube.pacs.objects import identifiers_of
from minicube.pacs.record import Entry, Record, State
from minicube.pacs.transfer import MODALITY, pull_series

__all__ = ["RECORD", "Pace", "Segmenting", "Watch", "watching"]

RECORD: Final = "watch.sqlite"
_OUR_ROOT: Final = "2.25."  # of every identifier that we give
# By a process that was killed; there are images in it.
_LEFT_BEHIND: Final = (".seg-*", "study-*/.part-*", "study-*/pulled", "study-*/scans")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """When what is done.

    Args:
        every: Seconds between two looks at the archive.
        settle: Seconds for which a study's images must not become more before it counts as
            complete; also before one that failed is tried again.
        since: Days; studies made before are not looked at.
        attempts: How often a study is tried.
    """

    every: float = 60.0
    settle: float = 300.0
    since: int = 7
    attempts: int = 3


@dataclass(frozen=True)
class Segmenting:
    """What is done with a study.

    Args:
        settings: A name for all but the scans that its result depends on: models, options.
        segment: Segments a study and writes :data:`minicube.dicom.OBJECTS` into a folder.
    """

    settings: str
    segment: Callable[[Study, Path], None]


class Watch:
    """Looks at an archive; made by :func:`watching`."""

    def __init__(
        self,
        archive: Archive,
        folder: Path,
        record: Record,
        segmenting: Segmenting,
        pace: Pace,
        told: Callable[[str], None],
    ) -> None:
        self.failed = 0
        self._archive, self._folder, self._record = archive, folder, record
        self._segmenting, self._pace, self._told = segmenting, pace, told
        self._said: dict[str, str] = {}  # of troubles that last

    def run(self) -> Never:
        """Look again and again; an archive that is away is waited for."""
        while True:
            try:
                self.look()
                self._said.pop("", None)
            except InputError as error:
                trouble = f"{_words(error)} – tried again every {self._pace.every:g} s"
                if self._is_news("", trouble):
                    self._told(trouble)
            time.sleep(self._pace.every)

    def once(self) -> None:
        """Look, wait as long as studies take to settle if one has to, and look again."""
        if self.look():
            self._told(f"{self._pace.settle:g} s for studies to settle")
            time.sleep(self._pace.settle + 0.1)  # clocks are not that fine
            if self.look():
                self._told("some studies still grow, and are left for another time")

    def look(self) -> bool:
        """Look at all studies once and do what is due; returns whether one is still settling.

        Raises:
            InputError: The archive cannot be asked, or the record not be written.
        """
        settling = False
        for study in self._archive.studies(date.today() - timedelta(days=self._pace.since)):
            try:
                settling |= self._look_at(study)
            except Broken as error:  # of this study; the others are looked at nonetheless
                self.failed += 1
                if self._is_news(study, _words(error)):
                    self._say(study, f"cannot be looked at. {_words(error)}")
        return settling

    def _look_at(self, study: str) -> bool:
        series = self._archive.series(study)
        images = self._images(study, series)
        if not images:
            return False
        digest = _digest(*(f"{uid} {count}" for uid, count in sorted(images.items())))
        entry = self._record.get(study)
        if entry is None or entry.series != digest:
            stored = "" if entry is None else entry.stored
            self._record.put(Entry(study, digest, State.SETTLING, time.time(), stored=stored))
            how = "is new" if entry is None else "has changed"
            self._say(study, f"{how}, {sum(images.values())} MR images so far")
            return True
        if self._is_due(entry):
            self._work(entry, series)
            return False
        return entry.state is State.SETTLING

    def _images(self, study: str, series: Sequence[SeriesEntry]) -> dict[str, int]:
        """How many images each MR series has."""
        return {
            one.uid: len(self._archive.instances(study, one.uid))
            if one.instances is None
            else one.instances
            for one in series
            if one.modality == MODALITY
        }

    def _is_due(self, entry: Entry) -> bool:
        waited = not 0 <= time.time() - entry.changed < self._pace.settle
        if entry.state is State.SETTLING:
            return waited
        if entry.state is State.BEGUN:  # and not ended: the process was
            return True
        more = entry.attempts < self._pace.attempts
        return entry.state is State.FAILED and more and waited

    def _work(self, before: Entry, series: Sequence[SeriesEntry]) -> None:
        """Do what there is to do with a study; whatever goes wrong is its own matter."""
        if before.attempts >= self._pace.attempts:
            self._end(before, State.FAILED, "ended the process each time it was tried")
            return
        entry = replace(
            before, state=State.BEGUN, attempts=before.attempts + 1, changed=time.time()
        )
        self._record.put(entry)  # before anything: what kills the process is not tried for ever
        pulled = self._place(entry.study) / "pulled"
        try:
            entry, sentence = self._segmented_and_stored(entry, series, pulled)
            self._end(entry, State.DONE, sentence)
        except (Unreachable, KeyboardInterrupt):  # which is not the study's fault
            latest = self._latest(entry)
            self._record.put(replace(before, made=latest.made))
            raise
        except (NotRecognised, NotPrepared) as error:
            self._end(entry, State.SKIPPED, f"skipped. {_words(error)}")
        except MinicubeError as error:
            self._end(self._latest(entry), State.FAILED, f"failed. {_words(error)}")
        except Exception as error:  # noqa: BLE001 - one study must not end the watch; it is told
            where = "".join(traceback.format_tb(error.__traceback__))  # its text may quote a name
            _log.error("a fault of minicube: %s\n%s", type(error).__name__, where)
            failure = f"failed. minicube failed: {type(error).__name__}"
            self._end(self._latest(entry), State.FAILED, failure)
        finally:
            for left in (pulled, pulled.with_name("scans")):
                shutil.rmtree(left, ignore_errors=True)

    def _segmented_and_stored(
        self, entry: Entry, series: Sequence[SeriesEntry], pulled: Path
    ) -> tuple[Entry, str]:
        """Returns what is known then, and a sentence."""
        place = pulled.parent
        objects = [place / name for name in OBJECTS]
        if entry.made != entry.series or not all(path.is_file() for path in objects):
            shutil.rmtree(pulled, ignore_errors=True)
            images = [one for one in series if one.modality == MODALITY]
            pull_series(self._archive, entry.study, images, pulled)
            with open_study(pulled) as study:
                chosen = study.choose()
                require_clear(study, chosen)
                known = MadeFrom(chosen.digest, self._segmenting.settings)
                if entry.stored == str(known):
                    return entry, "nothing new: the scans are those that were segmented"
                if self._is_held(entry.study, series, known):
                    entry = replace(entry, stored=str(known))
                    return entry, "nothing new: the archive holds a segmentation of these scans"
                self._segmenting.segment(study, place)
            entry = replace(entry, made=entry.series)
            self._record.put(entry)  # before it is stored: what lies here is sent, not made anew
        sent = self._store(entry.study, objects)
        again = " beside the earlier" if entry.stored else ""
        entry = replace(entry, stored=str(made_from(objects[0])))
        if not sent:
            return entry, "segmented; the archive held it already"
        return entry, f"segmented; {' and '.join(sent)} stored{again}"

    def _store(self, study: str, objects: Sequence[Path]) -> list[str]:
        """Send what the archive does not hold yet; returns the names of what was sent."""
        missing = []
        for path in objects:
            known = identifiers_of(path)
            if known.instance not in self._archive.instances(study, known.series):
                missing.append(path)
        for sent in self._archive.store(missing):
            if sent.refused:
                raise Broken(f"The archive refused {sent.path.name}.", found=sent.refused)
        return [path.name for path in missing]

    def _is_held(self, study: str, series: Sequence[SeriesEntry], known: MadeFrom) -> bool:
        """Whether the archive holds a segmentation that was made from the same."""
        for one in series:
            if one.modality == "SEG" and one.uid.startswith(_OUR_ROOT):
                with tempfile.TemporaryDirectory(prefix=".seg-", dir=self._folder) as folder:
                    held = Path(folder) / "held"
                    pull_series(self._archive, study, [one], held)
                    if any(made_from(path) == known for path in held.iterdir()):
                        return True
        return False

    def _place(self, study: str) -> Path:
        return self._folder / _name(study)

    def _latest(self, entry: Entry) -> Entry:
        """What was noted of a study in the meantime."""
        return self._record.get(entry.study) or entry

    def _end(self, entry: Entry, state: State, sentence: str) -> None:
        self.failed += state is State.FAILED
        self._record.put(replace(entry, state=state, changed=time.time(), sentence=sentence))
        self._say(entry.study, sentence)

    def _is_news(self, about: str, trouble: str) -> bool:
        before, self._said[about] = self._said.get(about), trouble
        return before != trouble

    def _say(self, study: str, sentence: str) -> None:
        self._told(f"{_name(study)} ({study}): {sentence}")


@contextmanager
def watching(
    archive: Archive,
    folder: Path,
    segmenting: Segmenting,
    pace: Pace,
    told: Callable[[str], None],
) -> Iterator[Watch]:
    """Yield a watch.

    Args:
        archive: Open.
        folder: For the record and for results, a folder a study; of one watch at a time.
        segmenting: What is done with studies.
        pace: When.
        told: What happened, in a sentence without anything of the patient.

    Raises:
        InputError: Another watch uses the folder, or it cannot be written to.
    """
    with locked(folder), closing(Record(folder / RECORD)) as record:
        for left in _LEFT_BEHIND:
            for path in folder.glob(left):
                _remove(path)
        yield Watch(archive, folder, record, segmenting, pace, told)


def _remove(path: Path) -> None:
    """Remove a file, or a folder and all that is in it, if it can be."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _name(study: str) -> str:
    return f"study-{_digest(study)[:16]}"


def _digest(*parts: str) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()


def _words(error: MinicubeError) -> str:
    """An error in a line; what it found only where that cannot quote a header's value."""
    if not isinstance(error, InputError):
        return str(error)
    known = isinstance(error, Broken | Unreachable | NotRecognised | NotPrepared)
    parts = [error.problem, f"Found: {error.found}." if known and error.found else "", error.hint]
    return " ".join(" ".join(part.split()) for part in parts if part)
