"""DIMSE: C-ECHO, C-FIND, C-GET or C-MOVE, and C-STORE (PS3.4, B and C; PS3.7)."""

from __future__ import annotations

import logging
import ssl
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset, config
from pynetdicom import AE, _config, build_role
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from minicube._errors import InputError
from minicube.pacs.archive import (
    MOST_ANSWERS,
    Broken,
    Sent,
    SeriesEntry,
    Unreachable,
    is_uid,
    modality_in,
    uid_in,
)
from minicube.pacs.intake import Intake
from minicube.pacs.objects import Identifiers, identifiers_of
from minicube.pacs.reasons import reason
from minicube.pacs.receiving import (
    MOST_CONTEXTS,
    Receiver,
    acceptable,
    asking,
    own_address,
    receivable,
)

__all__ = ["DimseArchive"]

_config.STORE_SEND_CHUNKED_DATASET = True  # a file goes as it is, not read and written again
# Else it reads every value for a log that nobody sees, and drops an answer that has a bad one.
_config.LOG_RESPONSE_IDENTIFIERS = False
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it logs what it cannot decode

_SUCCESS: Final = 0x0000
_PENDING: Final = (0xFF00, 0xFF01)
_DESTINATION_UNKNOWN: Final = 0xA801
_NOT_THIS_KIND: Final = "it does not take this kind of object, stored in this way"
_WARNINGS: Final = (0xB000, 0xB006, 0xB007)  # of C-STORE: stored nonetheless


class _NothingAccepted(Broken):
    """An archive offers nothing of what an association was to be for."""


class DimseArchive:
    """An archive that speaks DIMSE; each question is an association of its own.

    Args:
        title: Its application entity title.
        address: Host and port.
        own: Our title.
        listen: Address and port where it may send to, for C-MOVE; an empty address: that from
            which we reach it; None: C-GET.
        timeout: Seconds without an answer.
        encrypted: Whose certificates are trusted, and our own; None: nothing is encrypted.
    """

    def __init__(
        self,
        title: str,
        address: tuple[str, int],
        own: str,
        listen: tuple[str, int] | None,
        timeout: float,
        encrypted: ssl.SSLContext | None = None,
    ) -> None:
        self._title, self._address, self._listen = title, address, listen
        self._tls = None if encrypted is None else (encrypted, address[0])
        self._entity = AE(ae_title=own)
        self._entity.connection_timeout = timeout
        self._entity.acse_timeout = timeout
        self._entity.dimse_timeout = timeout
        self._entity.network_timeout = timeout

    def echo(self) -> None:
        """C-ECHO."""
        with self._associated([build_context(Verification)]) as association:
            status = association.send_c_echo()
            _check(status.get("Status"), "C-ECHO")

    def studies(self, since: date) -> list[str]:
        """See :meth:`Archive.studies`."""
        asked = {"StudyDate": f"{since:%Y%m%d}-", "ModalitiesInStudy": "MR"}
        rows = self._find("STUDY", asked, "StudyInstanceUID")
        found = (_text(row, "StudyInstanceUID") for row in rows)
        return [uid for uid in found if is_uid(uid)]

    def series(self, study: str) -> list[SeriesEntry]:
        """See :meth:`Archive.series`."""
        wanted = ("SeriesInstanceUID", "Modality", "NumberOfSeriesRelatedInstances")
        rows = self._find("SERIES", {"StudyInstanceUID": study}, *wanted)
        return [
            SeriesEntry(
                uid_in(_text(row, "SeriesInstanceUID")),
                modality_in(_text(row, "Modality")),
                _count(row),
            )
            for row in rows
        ]

    def instances(self, study: str, series: str) -> set[str]:
        """See :meth:`Archive.instances`."""
        asked = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
        rows = self._find("IMAGE", asked, "SOPInstanceUID")
        return {uid_in(_text(row, "SOPInstanceUID")) for row in rows}

    def fetch(self, study: str, series: str, intake: Intake) -> None:
        """See :meth:`Archive.fetch`."""
        asked = _asked("SERIES", {"StudyInstanceUID": study, "SeriesInstanceUID": series})
        receiver = Receiver(intake)
        if self._listen is None:
            status = self._got(asked, receiver)
        else:
            status = self._moved(asked, receiver, self._listen)
        if receiver.problem is not None:
            raise receiver.problem
        if receiver.stranger and status != _SUCCESS:
            raise InputError(
                f"{receiver.stranger} wanted to send, and was asked for nothing.",
                hint=f"if that is {self._title}, name the archive by the title that it sends as",
            )
        if status == _DESTINATION_UNKNOWN:
            raise InputError(
                f"The archive does not know where {self._entity.ae_title} is.",
                hint="have it enter this title with this computer's address and the port of "
                "--listen; or leave --listen out",
            )
        # What failed on the way is missing, which the intake notices.
        if status is None or (status != _SUCCESS and status >> 12 != 0xB):
            reach = "can it reach this computer at the port of --listen?"
            what, hint = ("C-GET", "") if self._listen is None else ("C-MOVE", reach)
            _check(status, what, hint)

    def store(self, paths: Iterable[Path]) -> Iterator[Sent]:
        """See :meth:`Archive.store`."""
        files = [(path, identifiers_of(path)) for path in paths]
        kinds = list(dict.fromkeys((known.kind, known.syntax) for _, known in files))
        for start in range(0, len(kinds), MOST_CONTEXTS):
            some = kinds[start : start + MOST_CONTEXTS]
            left = deque(one for one in files if (one[1].kind, one[1].syntax) in some)
            contexts, broke_at = [build_context(*kind) for kind in some], None
            while left:
                try:
                    with self._associated(contexts) as association:
                        while left:
                            sent = Sent(left[0][0], _stored(association, *left[0]))
                            left.popleft()
                            yield sent
                except _NothingAccepted:
                    yield from (Sent(path, _NOT_THIS_KIND) for path, _ in left)
                    break
                except Broken:
                    # Gone on with, once, where it broke off: on a busy machine pynetdicom (3.0.4)
                    # now and then takes an answer for a question, and waits for it for ever.
                    if broke_at == left[0]:
                        raise
                    broke_at = left[0]

    def close(self) -> None:
        """See :meth:`Archive.close`."""
        self._entity.shutdown()

    def _find(self, level: str, asked: dict[str, str], *wanted: str) -> list[Dataset]:
        model = StudyRootQueryRetrieveInformationModelFind
        found: list[Dataset] = []
        with self._associated([build_context(model)]) as association:
            _expect(association, model, "C-FIND")
            for status, row in association.send_c_find(_asked(level, asked, *wanted), model):
                code = status.get("Status")
                if code not in _PENDING:
                    _check(code, "C-FIND")
                elif row is None:  # left out, it would be missing and nobody knew
                    raise Broken("The archive gave an answer that cannot be read.")
                else:
                    found.append(row)
                if len(found) > MOST_ANSWERS:
                    raise Broken("The archive gives more answers than any archive has.")
        return found

    def _got(self, asked: Dataset, receiver: Receiver) -> int | None:
        model = StudyRootQueryRetrieveInformationModelGet
        contexts, roles = [build_context(model), *receivable()], []
        for kind in dict.fromkeys(context.abstract_syntax for context in contexts[1:]):
            assert kind is not None
            roles.append(build_role(kind, scp_role=True))
        with self._associated(contexts, receiver.handlers, roles) as association:
            _expect(association, model, "C-GET", hint="give --listen PORT, which uses C-MOVE")
            return _last(association.send_c_get(asked, model))

    def _moved(self, asked: Dataset, receiver: Receiver, listen: tuple[str, int]) -> int | None:
        model = StudyRootQueryRetrieveInformationModelMove
        entity = AE(ae_title=self._entity.ae_title)
        entity.require_called_aet, entity.require_calling_aet = True, [self._title]
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = (
            self._entity.network_timeout
        )
        entity.supported_contexts = acceptable()
        try:
            place = listen[0] or own_address(self._address), listen[1]
            server = entity.start_server(place, block=False, evt_handlers=receiver.handlers)
        except OSError as error:
            raise InputError(
                f"Nobody can listen at {':'.join(map(str, listen)).strip(':')}.",
                found=error.strerror or "",
                hint="give --listen another port",
            ) from error
        assert server is not None
        try:
            with self._associated([build_context(model)]) as association:
                _expect(association, model, "C-MOVE", hint="leave out --listen, to use C-GET")
                moved = association.send_c_move(asked, self._entity.ae_title, model)
                return _last(moved)
        finally:
            server.shutdown()
            entity.shutdown()

    @contextmanager
    def _associated(
        self,
        contexts: list[PresentationContext],
        handlers: list[Any] | None = None,
        roles: list[Any] | None = None,
    ) -> Iterator[Association]:
        host, port = self._address
        association = self._entity.associate(
            host,
            port,
            contexts,
            ae_title=self._title,
            evt_handlers=handlers or asking(),
            ext_neg=roles or [],
            tls_args=self._tls,
        )
        if not association.is_established:
            raise self._not_associated(association)
        try:
            yield association
        except BaseException:  # Ctrl-C too: what stays open blocks the archive
            association.abort()
            raise
        if association.is_established:
            association.release()

    def _not_associated(self, association: Association) -> InputError:
        place = f"{self._title} at {self._address[0]}:{self._address[1]}"
        if association.is_rejected:
            return InputError(
                f"{place} does not let {self._entity.ae_title} in.",
                hint="have it enter this title, or give the one that it knows with --aet",
            )
        if association.rejected_contexts:
            return _NothingAccepted(f"{place} offers nothing of what was asked for.")
        hint = "is the archive running, and are title, host and port right?"
        if self._tls is not None:  # pynetdicom does not say what went wrong
            hint += " Is it encrypted there, are certificates signed by whom --ca names, is --cert?"
        return Unreachable(f"Nobody answers as {place}.", hint=hint)


def _asked(level: str, asked: dict[str, str], *wanted: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword in wanted:
        setattr(query, keyword, None)
    for keyword, value in asked.items():
        setattr(query, keyword, value)
    return query


def _expect(association: Association, model: str, what: str, hint: str = "") -> None:
    if not any(context.abstract_syntax == model for context in association.accepted_contexts):
        raise InputError(f"The archive does not do {what}.", hint=hint)


def _last(answers: Iterator[tuple[Dataset, Dataset | None]]) -> int | None:
    """The status an operation ended with; None where it did not end."""
    code = None
    for number, (status, _) in enumerate(answers):
        code = status.get("Status")
        if number > MOST_ANSWERS:
            raise Broken("The archive gives more answers than any archive has.")
    return None if code is None or code in _PENDING else int(code)


def _check(code: Any, what: str, hint: str = "") -> None:
    if code == _SUCCESS:
        return
    if code is None:
        raise Broken(
            f"The archive stopped answering in the middle of a {what}.",
            hint="try again, or allow more with --timeout",
        )
    raise Broken(f"The archive refused a {what}.", found=f"status 0x{int(code):04X}", hint=hint)


def _stored(association: Association, path: Path, known: Identifiers) -> str:
    """Send one; returns why it was refused."""
    accepted = {
        (context.abstract_syntax, context.transfer_syntax[0])
        for context in association.accepted_contexts
    }
    if (known.kind, known.syntax) not in accepted:
        return _NOT_THIS_KIND
    code = None
    if association.is_established:
        code = association.send_c_store(path).get("Status")
    if code is None:
        raise Broken(
            "The archive broke off while something was sent to it.",
            found=f"at {path}",
            hint="try again; if it does so each time, does it know our title (--aet), and may we "
            "store?",
        )
    return "" if code == _SUCCESS or code in _WARNINGS else reason(code)


def _text(row: Dataset, keyword: str) -> str:
    """A value of an answer; empty where there is none, or none that can be read."""
    try:
        # Warnings quote values, and names of patients are values.
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            return str(row.get(keyword) or "")
    except Exception:  # noqa: BLE001 - pydicom reads a value when it is asked for
        return ""


def _count(row: Dataset) -> int | None:
    try:
        return int(_text(row, "NumberOfSeriesRelatedInstances"))
    except ValueError:
        return None
