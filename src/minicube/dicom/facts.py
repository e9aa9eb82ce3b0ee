"""What a series' tags say of how it was made, classic or enhanced, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom import Dataset

from minicube.dicom.frames import Frame, first_group, number, quietly
from minicube.dicom.words import says_contrast

__all__ = ["Facts", "facts_of"]

_NO_AGENT: Final = {"", "none", "no", "n", "nein", "non", "0", "off", "without"}


@dataclass(frozen=True)
class Facts:
    """How a series was made.

    Args:
        modality: Such as MR.
        description: For people.
        words: What the series is called, lower case, with spaces for what joins words.
        protocol: Likewise of its protocol, which may be that of the whole examination.
        repetition: TR, ms; None if not said, like the next.
        echo: TE, ms.
        inversion: TI, ms.
        b_value: Of diffusion, s/mm².
        spin_echo: Whether it is a spin echo, not a gradient echo; None if not said.
        agent: Whether a contrast agent is named. That none is says little.
        kind: Values of ImageType, upper case.
        time: When it was acquired, as DICOM writes date and time; empty if not said.
        frame_of_reference: Its FrameOfReferenceUID.
        grey: Whether images have one value a pixel, and more is brighter.
        body_part: As stated, lower case.
    """

    modality: str
    description: str
    words: str
    protocol: str
    repetition: float | None
    echo: float | None
    inversion: float | None
    b_value: float | None
    spin_echo: bool | None
    agent: bool
    kind: tuple[str, ...]
    time: str
    frame_of_reference: str
    grey: bool
    body_part: str


def facts_of(header: Dataset, frame: Frame) -> Facts:
    """Read them from the header of the file that ``frame`` lies in.

    Raises:
        InputError: A tag is damaged.
    """
    with quietly(frame.path):
        echo, b_value, inversion, kind = frame.kind
        repetition = number(
            first_group(
                header, frame.index, "MRTimingAndRelatedParametersSequence", "RepetitionTime"
            )
            or header.get("RepetitionTime")
        )
        turned = first_group(header, frame.index, "MRModifierSequence", "InversionTimes")
        protocol = str(header.get("ProtocolName") or "")
        description = str(header.get("SeriesDescription") or protocol)
        scanner = str(header.get("SequenceName") or header.get("PulseSequenceName") or "")
        assert isinstance(kind, tuple)
        return Facts(
            modality=str(header.get("Modality") or ""),
            description=description,
            words=_plain(f"{description} {scanner}"),
            protocol=_plain(protocol),
            repetition=repetition,
            echo=number(echo) or None,
            inversion=number(inversion) or number(turned) or None,
            b_value=number(b_value),
            spin_echo=_spin_echo(header),
            agent=_agent(header),
            kind=tuple(str(value).upper() for value in kind),
            time=_time(header),
            frame_of_reference=str(header.get("FrameOfReferenceUID") or ""),
            grey=header.get("SamplesPerPixel") == 1
            and header.get("PhotometricInterpretation") == "MONOCHROME2",
            body_part=str(header.get("BodyPartExamined") or "").lower(),
        )


def _plain(text: str) -> str:
    """Lower case, and a space for what joins words in descriptions."""
    return " ".join(text.lower().replace("_", " ").replace("-", " ").split())


def _spin_echo(header: Dataset) -> bool | None:
    way = header.get("ScanningSequence") or []
    ways = {way} if isinstance(way, str) else set(way)
    enhanced = str(header.get("EchoPulseSequence") or "")
    if "SE" in ways or enhanced == "SPIN":
        return True
    if "GR" in ways or enhanced == "GRADIENT":
        return False
    return None


def _agent(header: Dataset) -> bool:
    if header.get("ContrastBolusAgentSequence"):
        return True
    said = _plain(str(header.get("ContrastBolusAgent") or ""))
    return said not in _NO_AGENT and says_contrast(said) is not False


def _time(header: Dataset) -> str:
    joined = header.get("AcquisitionDateTime")
    if joined:
        return str(joined)
    for kind in ("Acquisition", "Series", "Content"):
        if header.get(f"{kind}Time"):
            date = header.get(f"{kind}Date") or header.get("StudyDate") or ""
            return f"{date}{header.get(f'{kind}Time')}"
    return ""
