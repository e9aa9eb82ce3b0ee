"""What a study's report says was done: the same for all, what diverged, what is confounded."""

from __future__ import annotations

from pathlib import Path

from small_study import CLASSES, TITLES, made_up_results
from test_reporting_html import shows
from test_reporting_study import SPACE, report_of, said


def test_a_study_half_way_says_what_is_still_to_come(tmp_path: Path) -> None:
    results = made_up_results()
    done = {"unet3d-report", "unet2d"}
    results["systems"] = {n: s for n, s in results["systems"].items() if n in done}
    results |= {"finished": False, "trainings": {"made": 9, "planned": 71}}
    page = report_of(tmp_path, results)
    shows(page, "still running", "9 of 71 trainings are made.")
    shows(page, "networks", "5")
    waiting = [f"{title}, as reported" for n, title in TITLES.items() if n != "vnet"]
    waiting[1:1] = ["Exploratory CNN, repaired"]  # in the order of the systems, both ways each
    waiting[-1:] = ["3D U-Net with context, as reported", "3D U-Net with context, repaired"]
    shows(page, f"Not run yet: {'; '.join(waiting)}; V-Net, repaired.")
    assert said(results, "Do the networks learn?").startswith("So far, 2 of 2 repaired systems")
    # What the study never trains is not waited for.
    assert "V-Net, as reported" not in page.text
    shows(page, "V-Net: repaired alone, since the report did not run it.")


def test_folds_that_are_not_done_on_one_side_are_counted_apart(tmp_path: Path) -> None:
    words = "Two counts are those of as reported and repaired"
    results = made_up_results()
    assert words not in report_of(tmp_path, results).text
    for name in CLASSES:
        results["systems"]["unet2d-as-reported"]["real"][name] |= {"n": 4, "n_empty": 1}
    page = report_of(tmp_path, results)
    shows(page, "4 / 12", "1 / 0")
    shows(page, words)


def test_what_diverged_is_named_where_it_counts(tmp_path: Path) -> None:
    results = made_up_results()
    assert "diverged" not in report_of(tmp_path, results | {"ablation": None}).text.lower()
    results["systems"]["unet3d-report-as-reported"]["diverged"] = [
        {"unit": "unet3d-report-as-reported/pretraining", "fold": None, "seed": 0, "step": 12},
        {"unit": "unet3d-report-as-reported/fold-1-seed-0", "fold": 1, "seed": 0, "step": 34},
    ]
    steps = "diverged at step 12 (pre-training), 34 (fold 2, seed 0)"
    page = report_of(tmp_path, results)
    text = " ".join(page.text.split())
    assert f"3D U-Net without context as reported {steps} background 1.0 0.975" in text
    assert "learning rate diverged at step 31 not 0.01, constant" in text  # a row of the ablation
    shows(page, "scored are the weights that were last kept before it")
    learnt = said(results, "Do the networks learn?")
    assert f"no number: 3D U-Net without context, as reported {steps}." in learnt


def test_how_it_was_done_comes_from_the_setting(tmp_path: Path) -> None:
    results = made_up_results()
    results["setting"] |= {"minutes": 28.0, "pretraining_minutes": 16.8}
    page = report_of(tmp_path, results)
    text = page.text.replace(SPACE, " ")
    assert "Every system, repaired or as reported, trains for 28 processor minutes" in text
    assert "the first 16.8 on phantoms alone" in text
    assert "the other 11.2 on" in text
    assert "67 % of an epoch real" in text
    shows(page, "0, and on the first fold 1")
    shows(page, "begin with the same pre-training on phantoms")
    shows(page, "the 96 phantoms that are learnt from, too, are left out")
    systems = {n: s for n, s in results["systems"].items() if not n.endswith("-as-reported")}
    results["setting"] |= {
        "pretraining_minutes": 0,
        "real_share": None,
        "systems": dict.fromkeys(systems),
    }
    page = report_of(tmp_path, results | {"systems": systems})
    shows(page, "Every system trains for 28 processor minutes for each fold. Scores")
    shows(page, "Another seed is another start of the weights")
    assert "the same pre-training" not in page.text


def test_what_has_no_minicubes_is_run_whole(tmp_path: Path) -> None:
    results = made_up_results()
    results["systems"]["unet2d"]["network"]["cut"] = {"minicube": None, "context": 0}
    text = " ".join(report_of(tmp_path, results).text.split())
    assert "1 624 692 116 54 whole – " in text  # V-Net's cut is null
    assert "1 624 692 204 × 204 × 1 94 × 94 × 0 whole – " in text
    assert "1 624 692 116 54 96 × 96 × 80 0 " in text


def test_the_ablation_says_what_a_row_is(tmp_path: Path) -> None:
    results = made_up_results()
    page = report_of(tmp_path, results)
    shows(
        page, "as many steps as its side’s base makes in 4 minutes (repaired 170, as reported 160)"
    )
    shows(page, "scored on the 4 real cases of fold 1.")
    shows(page, "small ones nothing: two seeds of one system, trained in full, lie up to 0.020")
    shows(page, "raw intensities", "0.410", "0.210", "0.310", "0.310", "−0.160", "170")
    shows(page, "may not have learnt", "normalisation of intensities", "why normalisation")
    shows(page, "learning rate", "why learning rate", "augmentation", "why augmentation")
    assert page.text.count("why learning rate") == 1  # both sides ask it, once
    for system in results["systems"].values():
        system["seeds"] = []
    shows(report_of(tmp_path, results), "small ones nothing.")


def test_the_report_s_numbers_stand_beside_real_cases_alone(tmp_path: Path) -> None:
    results = made_up_results()
    assert report_of(tmp_path, results).text.count("the report’s Table 2") == 1
    for system in results["systems"].values():
        system["real"] = None
    assert "the report’s Table 2" not in report_of(tmp_path, results).text


def test_what_is_confounded_is_said_to_be() -> None:
    results = made_up_results()
    for question in ("Does 3D beat 2D?", "Does context beat no context?"):
        answer = said(results, question)
        assert "This is confounded" in answer
        assert "3D U-Net with context (16-32-64-96, 1 624 692 parameters)" in answer
    same = "0: 0.550, 10: 0.570, 20: 0.580, whole volume: 0.585."
    assert said(results, "Does context beat no context?").endswith(same)
    assert same not in said(results, "Does 3D beat 2D?")
    results["comparisons"] = []
    assert "confounded" not in said(results, "Does context beat no context?")
    results["context"] = []
    assert said(results, "Does context beat no context?") == "Not run yet."
