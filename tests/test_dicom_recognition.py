"""Which sequence a series is: tags and names as scanners and clinics write them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("highdicom")

from pydicom import Dataset

from minicube._errors import InputError
from minicube.dicom.choice import choose, told_apart_by_time
from minicube.dicom.facts import Facts, facts_of
from minicube.dicom.frames import Frame
from minicube.dicom.recognition import Recognised, recognise
from minicube.dicom.series import Series
from minicube.scans import Geometry, Sequence

FRAME = Frame(Path("x"), 0, "1.2", (9, 9), None, None, None, 1, 0, (), ())
T1N, T1C, T2W, T2F = Sequence


def facts(
    words: str,
    tr: float | None = None,
    te: float | None = None,
    ti: float | None = None,
    *,
    spin_echo: bool | None = None,
    agent: bool = False,
    kind: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "M"),
    time: str = "",
) -> Facts:
    plain = " ".join(words.lower().replace("_", " ").replace("-", " ").split())
    return Facts(
        modality="MR",
        description=words,
        words=plain,
        protocol="",
        repetition=tr,
        echo=te,
        inversion=ti,
        b_value=None,
        spin_echo=spin_echo,
        agent=agent,
        kind=kind,
        time=time,
        frame_of_reference="1.2",
        grey=True,
        body_part="",
    )


def series(number: int, said: Facts, side: float = 1.0, images: int = 60) -> Series:
    grid = Geometry((9, 9, images), np.diag([1, 1, side, 1]))
    return Series(number, "1", f"1.{number}", said, (FRAME,) * images, grid, "")


def rows(*said: Facts) -> list[Recognised]:
    return told_apart_by_time(recognise(series(n, one)) for n, one in enumerate(said, start=1))


@pytest.mark.parametrize(
    ("said", "sequence"),
    [
        (facts("t1_mprage_sag_p2_iso", 2300, 2.98, 900, spin_echo=False), T1N),
        (facts("AX T1 SE", 550, 9, spin_echo=True), T1N),
        (facts("Ax T1 FLAIR pre", 2200, 24, 860), T1N),
        (facts("t1_tse_tra nativ", 600, 12), T1N),
        (facts("t1_se_tra ohne KM", 500, 10), T1N),
        (facts("T1 EG SANS INJECTION", 8, 3, spin_echo=False), T1N),
        (facts("T1 sin contraste", 600, 10), T1N),
        (facts("T1 senza mdc", 600, 10), T1N),
        (facts("T1 3D bez kontrastu", 600, 10), T1N),
        (facts("T1 до контраста", 600, 10), T1N),
        (facts("AX T1 w/o contrast", 600, 10), T1N),
        (facts("", 500, 12), T1N),
        (facts("t1_mprage_tra_KM", 1900, 2.5, 900), T1C),
        (facts("AX T1 POST", 600, 9), T1C),
        (facts("AX T1+C", 600, 9), T1C),
        (facts("SAG BRAVO GAD", 8.4, 3.2, 450), T1C),
        (facts("T1 APRES GADO", 600, 9), T1C),
        (facts("T1 EG 3D INJECTE", 8, 3), T1C),
        (facts("T1 con contraste", 600, 10), T1C),
        (facts("T1 dopo mdc", 600, 10), T1C),
        (facts("T1 TFE 3D nach KM", 8, 4), T1C),
        (facts("T1 po kontraście", 600, 10), T1C),
        (facts("T1 с КУ", 600, 10), T1C),
        (facts("T1 增强", 600, 10), T1C),
        (facts("3D T1W GD", 600, 10), T1C),
        (facts("t1_space", 600, 10, agent=True), T1C),
        (facts("AX T2 FSE", 4500, 102), T2W),
        (facts("t2_tse_tra_512", 6000, 96), T2W),
        (facts("T2W_TSE_DRIVE", 3000, 80), T2W),
        (facts("", 4000, 100), T2W),
        (facts("AX T2 FLAIR", 9000, 120, 2250), T2F),
        (facts("t2_space_dark-fluid_sag", 5000, 387, 1800), T2F),
        (facts("FLAIR post Gd", 9000, 120, 2500, agent=True), T2F),
        (facts("FLAIR_longTR"), T2F),
        (facts("", 9000, 100, 2500), T2F),
    ],
)
def test_usual_series_are_recognised(said: Facts, sequence: Sequence) -> None:
    found = recognise(series(1, said))
    assert found.rejected == ""
    assert found.likeliest is sequence, (found.scores, found.reasons)
    assert found.scores[sequence] > 0.5
    assert found.reasons


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (facts("localizer", 8, 4), "localiser"),
        (facts("Survey_SHC", 11, 4), "localiser"),
        (facts("ep2d_diff_b1000_tra", 6000, 90), "diffusion"),
        (facts("DWI b=1000", 6000, 90), "diffusion"),
        (facts("ADC (10^-6 mm²/s)", 6000, 90), "diffusion"),
        (facts("x", 6000, 90, kind=("DERIVED", "PRIMARY", "DIFFUSION", "ADC")), "diffusion"),
        (replace(facts("x", 6000, 90), b_value=1000.0), "diffusion"),
        (facts("SWI_Images", 28, 20), "susceptibility"),
        (facts("AX SWAN", 40, 23), "susceptibility"),
        (facts("T2*_FFE", 700, 16), "susceptibility"),
        (facts("TOF_3D_multi-slab", 22, 3.7), "angiography"),
        (facts("ep2d_perf_p2", 1500, 30), "perfusion"),
        (facts("rCBV", kind=("DERIVED", "SECONDARY", "CBV")), "perfusion"),
        (facts("T1 MPR", kind=("DERIVED", "SECONDARY", "MIP")), "projection"),
        (facts("T1 SUB", 600, 9), "subtraction"),
        (facts("T1 phase", kind=("ORIGINAL", "PRIMARY", "P")), "phase"),
        (facts("T2 STIR", 4000, 60, 160), "STIR"),
        (facts("T2 HWS sag", 4000, 100), "spine"),
        (replace(facts("T1"), modality="CT"), "not MR"),
        (replace(facts("T1"), grey=False), "grey"),
    ],
)
def test_what_is_none_of_the_four_is_rejected_with_a_reason(said: Facts, why: str) -> None:
    found = recognise(series(1, said))
    assert why in found.rejected
    assert set(found.scores.values()) == {0.0}
    assert found.likeliest is None


def test_few_images_are_rejected() -> None:
    assert recognise(series(1, facts("T1", 600, 9), images=5)).rejected == "only 5 images"


T2 = facts("T2", 5000, 100)
FLAIR = facts("FLAIR", 9000, 120, 2500)


def test_a_t1_pair_without_any_word_of_contrast_is_told_apart_by_time() -> None:
    late, early = (facts("T1", 600, 9, time=f"2020010112{n}000") for n in (3, 1))
    chosen = choose(rows(late, T2, FLAIR, early))
    assert {s: row.series.number for s, row in chosen.chosen.items()} == {
        T1N: 4,
        T2W: 2,
        T2F: 3,
        T1C: 1,
    }
    assert any("not certain" in remark for remark in chosen.remarks)


@pytest.mark.parametrize(
    "said", ["Gadovist", "gadolinium", "", "None", "NO CONTRAST", "without Gd"]
)
def test_an_agent_may_be_denied(said: str) -> None:
    header = Dataset()
    header.ContrastBolusAgent = said
    stated = facts_of(header, replace(FRAME, kind=(None, None, None, ()))).agent
    assert stated is said.lower().startswith("gad")


def test_an_agent_stated_on_every_t1_series_says_nothing() -> None:
    first, second = (facts("T1", 600, 9, agent=True, time=f"2020010112{n}000") for n in (1, 3))
    chosen = choose(rows(first, second, T2, FLAIR)).chosen
    assert (chosen[T1N].series.number, chosen[T1C].series.number) == (1, 2)


def test_one_t1_series_leaves_the_other_missing() -> None:
    found = choose(rows(facts("T1", 600, 9), T2, FLAIR))
    assert found.missing == (T1C,)
    assert not found.is_clear
    assert choose([]).missing == tuple(Sequence)


def test_equals_have_to_be_chosen_between_and_a_number_settles_it() -> None:
    post = facts("T1 post", 600, 9)
    found = rows(facts("T1 pre", 600, 9), T2, FLAIR, post, post)
    unclear = choose(found)
    assert [row.series.number for row in unclear.rivals[T1C]] == [5]
    settled = choose(found, {T1C: 5})
    assert settled.is_clear
    assert settled.chosen[T1C].series.number == 5
    with pytest.raises(InputError, match="no series 9"):
        choose(found, {T1C: 9})
    with pytest.raises(InputError, match="two sequences"):
        choose(found, {T1C: 4, T1N: 4})


def test_four_on_one_grid_go_before_finer_voxels() -> None:
    thick = [facts("T1 pre", 600, 9), T2, FLAIR, facts("T1 post", 600, 9)]
    found = [recognise(series(n, one, side=3)) for n, one in enumerate(thick, start=1)]
    found.append(recognise(series(5, facts("T1 MPRAGE post", 1900, 2.5, 900), side=1)))
    chosen = choose(found)
    assert chosen.chosen[T1C].series.number == 4
    assert any("series 5 would do too" in remark for remark in chosen.remarks)
