"""The examples run and show the results that their text describes."""

import contextlib
import io
import re
import runpy
import sys
from pathlib import Path
from unittest import mock

import matplotlib.pyplot as plt
import pytest

from benchmarks.texts import ARCHIVE, SHA256, locate_archive
from tests.text_archive import write_archive

ROOT = Path(__file__).parents[1]


def run(name, folder, *options):
    """What an example prints, run in this process, which has imported all libraries."""
    return run_file(ROOT / "examples" / name, folder, *options)


def run_file(path, folder, *options):
    printed = io.StringIO()
    plt.switch_backend("Agg")
    arguments = mock.patch.object(sys, "argv", [str(path), *options])
    try:
        with contextlib.chdir(folder), arguments, contextlib.redirect_stdout(printed):
            runpy.run_path(str(path), run_name="__main__")
    finally:
        plt.close("all")
    return printed.getvalue()


def run_on_generated_texts(name, folder, monkeypatch):
    """Run a copy of an example, whose archive has the layout of the real one."""
    data = folder / "sklearn_transfer_benchmarks" / "data"
    digest = write_archive(data / ARCHIVE, 1100)
    code = (ROOT / "examples" / name).read_text()
    assert code.count(SHA256) == 1
    copy = folder / Path(name).name
    copy.write_text(code.replace(SHA256, digest))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return run_file(copy, folder)


warns_of_weights = pytest.mark.filterwarnings("ignore:The weights amount to:UserWarning")
needs_texts = pytest.mark.skipif(
    not locate_archive().exists(), reason="python -m benchmarks.texts fetches the texts"
)


@pytest.mark.slow
def test_quickstart_reaches_its_figures_and_draws_its_picture(tmp_path):
    table = run("quickstart.py", tmp_path, "--output", "picture.png")
    means = dict(re.findall(r"^(\w+).*?  +(0\.\d+)", table, re.MULTILINE))
    assert float(means["frozen"]) >= 0.95
    assert float(means["raw"]) < 0.45
    assert "460 fits took 600 forward passes" in table
    assert (tmp_path / "picture.png").stat().st_size > 100_000


@pytest.mark.slow
def test_images_and_numbers_predict_better_together(tmp_path):
    lines = run("extraction/plot_column_transformer.py", tmp_path).splitlines()[-3:]
    photo, numbers, both = (float(re.search(r"0\.\d+", line).group()) for line in lines)
    assert both > 0.9
    assert max(photo, numbers) < 0.85


@pytest.mark.slow
def test_a_whole_table_predicts_better_than_its_parts(tmp_path):
    lines = run("columns/plot_table_with_photos.py", tmp_path)
    assert "photo: image" in lines
    assert "caption: text" in lines
    names = ["numbers and words", "and captions", "and photos", "the whole table"]
    found = [float(re.search(rf"^{name} +(\S+)", lines, re.M).group(1)) for name in names]
    assert found[3] > max(found[:3]) + 0.02
    assert min(found[1:3]) > found[0]


@pytest.mark.slow
def test_pictures_of_series_tell_activities_apart(tmp_path):
    printed = run("extraction/plot_sensor_series.py", tmp_path)
    pictures, summaries, numbers = (
        [float(mean) for mean in line.split(": ")[1].split()]
        for line in printed.splitlines()[1:]
    )
    assert min(pictures) > max(summaries)
    assert max(numbers) < 0.4


@pytest.mark.slow
def test_the_example_of_texts_runs_on_generated_ones(tmp_path, monkeypatch):
    lines = run_on_generated_texts("extraction/plot_text.py", tmp_path, monkeypatch)
    frozen, counted = re.findall(r"^(\S+) .*labels: (.*)$", lines, re.MULTILINE)
    assert [frozen[0], counted[0]] == ["frozen", "TF-IDF"]
    assert float(frozen[1].split()[-1]) > 0.9
    assert float(re.search(r"descriptions alone: (\S+)", lines).group(1)) > 0.6


@warns_of_weights
@pytest.mark.slow
def test_the_example_of_shifted_texts_runs_on_generated_ones(tmp_path, monkeypatch):
    lines = run_on_generated_texts("weighting/plot_text_shift.py", tmp_path, monkeypatch)
    accuracies = map(float, re.findall(r"weights *: (0\.\d+|1\.0+) on products", lines))
    assert len(list(accuracies)) == 2
    assert len(re.findall(r"^\S+ +[01]\.\d{3}  \(chosen\)$", lines, re.MULTILINE)) == 1


@needs_texts
@pytest.mark.slow
def test_fifty_labels_of_texts_are_worth_more_than_350_without_a_network(tmp_path):
    lines = run("extraction/plot_text.py", tmp_path)
    curves = {
        name: [float(accuracy) for accuracy in accuracies.split()]
        for name, accuracies in re.findall(r"^(\S+) .*labels: (.*)$", lines, re.MULTILINE)
    }
    assert curves["frozen"][2] > curves["TF-IDF"][5]
    assert curves["frozen"][5] > curves["TF-IDF"][5] + 0.08
    assert float(re.search(r"descriptions alone: (\S+)", lines).group(1)) > 0.7


@pytest.mark.slow
def test_photos_are_classified_by_words_where_imagenet_shows_the_like(tmp_path):
    lines = run("heads/plot_zero_shot_words.py", tmp_path)
    accuracies = dict(re.findall(r"^(\S.*?) *: accuracy (\S+)$", lines, re.MULTILINE))
    assert float(accuracies["a few words"]) > 0.4  # chance is 0.067
    assert float(accuracies["n_top=10"]) > float(accuracies["n_top=1"]) + 0.05
    often, never = re.findall(r"^(?:recognized nearly always|hardly ever): (.*)$", lines, re.M)
    assert {"cat", "coffee"} <= set(re.findall(r"\w+", often))
    assert {"galaxies", "moon"} <= set(re.findall(r"\w+", never))


@pytest.mark.slow
def test_deeper_layers_bring_photos_of_one_class_together(tmp_path):
    lines = run("extraction/plot_embedding_map.py", tmp_path)
    shares = {
        name: float(share) for name, share in re.findall(r"^(\w+) .* (\S+)$", lines, re.M)
    }
    assert shares["shallow"] < shares["middle"] < shares["deep"]
    assert shares["deep"] > 0.98


@pytest.mark.slow
def test_score_and_accuracy_rank_networks_alike(tmp_path):
    lines = run("selection/plot_rank_backbones.py", tmp_path)
    assert lines.splitlines()[1].startswith("lite")
    pretrained, all_of_them = re.search(r"tau: (\S+), .* control (\S+)", lines).groups()
    assert float(pretrained) >= 0.5
    assert float(all_of_them) >= 0.7


@pytest.mark.slow
def test_each_alignment_helps_where_its_assumption_holds(tmp_path):
    table = run("alignment/plot_comparison_alignment.py", tmp_path)
    means, shift = {}, None
    for line in table.splitlines():
        if found := re.match(r" +(\w.*?) +(0\.\d+) ", line):
            means[shift, found[1]] = float(found[2])
        else:
            shift = line
    assert means["moved", "no adaptation"] < 0.6
    for method in ("CORAL", "subspace alignment", "optimal transport"):
        assert means["moved", method] > 0.85
        assert means["moved, classes 9 to 1", method] < 0.9
    assert means["noise moved", "transfer components"] > 0.95
    assert means["moved", "transfer components"] < 0.6


@pytest.mark.slow
def test_weights_help_a_line_but_not_a_polynomial(tmp_path):
    lines = run("weighting/plot_kmm_covariate_shift.py", tmp_path)
    found = re.findall(r"(line|polynomial) +(equal|weighted) .*?(0\.\d+)", lines)
    errors = {(name, kind): float(error) for name, kind, error in found}
    assert errors["line", "weighted"] < 0.5 * errors["line", "equal"]
    assert errors["polynomial", "weighted"] > 0.8 * errors["polynomial", "equal"]


@pytest.mark.slow
def test_weighted_scores_are_closer_to_the_accuracy_at_dusk(tmp_path):
    lines = run("weighting/plot_shifted_photos.py", tmp_path)
    day, dusk = (float(gap) for gap in re.findall(r"off by (0\.\d+)", lines))
    assert dusk < 0.75 * day
    assert float(re.search(r"chosen .*: (0\.\d+)", lines).group(1)) > 0.85


@needs_texts
@warns_of_weights
@pytest.mark.slow
def test_weights_hurt_on_texts_and_the_chosen_way_helps(tmp_path):
    lines = run("weighting/plot_text_shift.py", tmp_path)
    without, weighted = map(float, re.findall(r"weights *: (0\.\d+) on products", lines))
    assert weighted < without - 0.05
    accuracy = dict(re.findall(r"^(\S+) +(0\.\d{3})(?:  \(chosen\))?$", lines, re.MULTILINE))
    [chosen] = re.findall(r"^(\S+) +0\.\d{3}  \(chosen\)$", lines, re.MULTILINE)
    assert float(accuracy[chosen]) > float(accuracy["none"]) + 0.03


@pytest.mark.slow
def test_features_of_photos_help_on_photos_and_hurt_on_digits(tmp_path):
    lines = run("selection/plot_negative_transfer.py", tmp_path)
    found = re.findall(r"^(photos|digits): (\w+) .*\n  Transfer (\w+)", lines, re.MULTILINE)
    assert found[:2] == [("photos", "embedding", "helps")] * 2
    assert found[2:4] == [("digits", "embedding", "hurts")] * 2
    assert found[4] == ("digits", "middle", "neither")


@pytest.mark.slow
def test_intervals_of_fifty_labels_contain_the_accuracy(tmp_path):
    lines = run("selection/plot_target_accuracy.py", tmp_path)
    pattern = r"truth (\S+)\n.*interval (\S+) to ([\d.]+)\)"
    found = [[float(number) for number in match] for match in re.findall(pattern, lines)]
    assert len(found) == 6
    assert all(low <= truth <= high for truth, low, high in found)
    assert "overconfident" in lines


@pytest.mark.slow
def test_planted_copies_and_wrong_labels_are_found(tmp_path):
    pytest.importorskip("cleanlab")
    lines = run("selection/plot_data_quality.py", tmp_path)
    copies, others = map(int, re.findall(r"copies found: (\d+) of 40, .*: (\d+)", lines)[0])
    assert copies >= 38 > 2 >= others
    assert "folds by groups: None of 190 test rows" in lines
    right, others = map(int, re.findall(r"labels found: (\d+) of 15, .*: (\d+)", lines)[0])
    assert right >= 12 > 4 >= others


@pytest.mark.slow
def test_stamp_is_taken_for_gravel(tmp_path):
    lines = run("selection/plot_prediction_evidence.py", tmp_path)
    shares = dict(re.findall(r"^(.*), taken for gravel: (\d\.\d+)$", lines, re.MULTILINE))
    assert shares["gravel with a stamp"] == "1.00"
    assert float(shares["gravel without a stamp"]) <= 0.2
    assert float(shares["others with a stamp"]) >= 0.3
    assert shares["others without a stamp"] == "0.00"


@pytest.mark.slow
def test_the_chosen_way_to_adapt_is_more_accurate_than_none(tmp_path):
    lines = run("selection/plot_choose_adaptation.py", tmp_path)
    accuracy = dict(re.findall(r"^(\S+) +(0\.\d{3})(?:  \(chosen\))?$", lines, re.MULTILINE))
    [chosen] = re.findall(r"^(\S+) +0\.\d{3}  \(chosen\)$", lines, re.MULTILINE)
    assert float(accuracy[chosen]) > float(accuracy["none"]) + 0.1
    assert "Align the domains" in lines


@pytest.mark.slow
def test_prototypes_are_most_accurate_with_one_photo_per_class(tmp_path):
    table = run("heads/plot_few_shot.py", tmp_path)
    pattern = r"^(\w+).*? 1: (0\.\d+) "
    one_shot = [(name, float(v)) for name, v in re.findall(pattern, table, re.MULTILINE)]
    assert [name for name, _ in one_shot] == ["prototypes", "logistic", "logistic"]
    assert one_shot[0][1] > max(one_shot[1:])[1] + 0.1


@pytest.mark.slow
def test_unseen_digits_are_recognized_with_calibrated_scores(tmp_path):
    lines = run("heads/plot_zero_shot.py", tmp_path)
    assert float(re.search(r"unseen digits: (0\.\d+)", lines).group(1)) > 0.62
    before, after = map(float, re.findall(r"0\.\d+", lines.splitlines()[-1]))
    assert after > 0.5 > 2 * before


@pytest.mark.slow
@pytest.mark.long
def test_training_more_of_a_network_overtakes_raw_pixels(tmp_path):
    table = run("finetuning/plot_freezing.py", tmp_path)
    raw = float(re.search(r"raw pixels.*: (0\.\d+)", table).group(1))
    accuracy = dict(re.findall(r"^ *(head|2 stages|whole) (0\.\d+)", table, re.MULTILINE))
    assert float(accuracy["head"]) < raw
    assert float(accuracy["2 stages"]) > float(accuracy["head"]) + 0.05
    assert max(float(accuracy["2 stages"]), float(accuracy["whole"])) > raw


@pytest.mark.slow
@pytest.mark.long
def test_no_training_is_less_accurate_than_the_probe_on_another_camera(tmp_path):
    table = run("finetuning/plot_lp_ft_under_shift.py", tmp_path)
    rows = re.findall(r"^ *(\w.*?)  (0\.\d+) \+- (0\.\d+)   (0\.\d+)", table, re.MULTILINE)
    source, target = ({r[0]: float(r[i]) for r in rows} for i in (1, 3))
    assert len(rows) == 5
    for accuracy in (source, target):
        assert all(accuracy[name] > accuracy["probe"] - 0.03 for name in accuracy)
    assert target["last stage"] > target["probe"] + 0.02


@pytest.mark.slow
@pytest.mark.long
def test_one_network_for_two_tasks_is_about_as_good_as_two(tmp_path):
    lines = run("finetuning/plot_multi_task.py", tmp_path)
    found = re.findall(
        r": (0\.\d+) of the photos correct, mean error of the level (0\.\d+)", lines
    )
    (one, off), (each, off_each) = (map(float, row) for row in found)
    assert one > each - 0.1
    assert max(off, off_each) < 0.12  # a constant guess has an error of 0.2


@pytest.mark.slow
def test_codes_of_an_autoencoder_beat_pixels_with_few_labels(tmp_path):
    lines = run("finetuning/plot_self_taught.py", tmp_path)
    pattern = r"^ *(\d+) labels .* (0\.\d+), codes (0\.\d+), (\d+) wins of 10"
    rows = {int(r[0]): r[1:] for r in re.findall(pattern, lines, re.MULTILINE)}
    assert float(rows[2][1]) > float(rows[2][0]) + 0.04
    assert float(rows[10][1]) > float(rows[10][0]) + 0.01
    assert int(rows[10][2]) >= 8


@pytest.mark.slow
def test_cross_fitted_features_add_most_to_a_table(tmp_path):
    lines = run("finetuning/plot_target_aware.py", tmp_path).splitlines()[-4:]
    numbers, frozen, leaking, crossed = (float(line.split()[-1]) for line in lines)
    assert crossed > numbers + 0.05
    assert crossed > frozen + 0.05
    assert crossed > leaking + 0.02


@pytest.mark.slow
def test_labels_are_requested_after_the_light_has_changed(tmp_path):
    lines = run("selection/plot_drift.py", tmp_path)
    requested = re.search(r"days \[(.*)\], of 17", lines).group(1).split(", ")
    assert min(map(int, requested)) > 5
    assert len(requested) <= 4
    before, after = map(float, re.findall(r"0\.\d+", lines.splitlines()[-1]))
    assert after > before + 0.04


@pytest.mark.slow
@pytest.mark.long
def test_easy_samples_first_do_not_help(tmp_path):
    lines = run("finetuning/plot_curriculum.py", tmp_path)
    gains = dict(re.findall(r"gains (\S+) .* points: (.*)$", lines, re.M))
    gains = {data: float(gain) for gain, data in gains.items()}
    assert gains["photos"] < -3
    assert gains["digits"] < 0
    assert abs(gains["wrong labels"]) < 4


@pytest.mark.slow
def test_objectives_adapt_to_noise_and_a_few_labels_help_too(tmp_path):
    lines = run("finetuning/plot_adaptation.py", tmp_path)
    rows = re.findall(r"^ *(\S.*?)  +(0\.\d+)", lines, re.MULTILINE)
    accuracies = {name: float(accuracy) for name, accuracy in rows}
    assert len(accuracies) == 11
    scores = re.findall(r"^ *(\w+)  +0\.\d+  +(-?\d\.\d+)", lines, re.MULTILINE)
    scores = {name: float(score) for name, score in scores}
    assert sum(score > scores["none"] for score in scores.values()) >= 4
    none = accuracies.pop("none")
    assert all(accuracy > none + 0.05 for accuracy in accuracies.values())
    assert accuracies["infomax, 3 labels"] > max(accuracies["infomax"], accuracies["3 labels"])


def test_layers_hear_different_things(tmp_path, monkeypatch):
    monkeypatch.setenv("SOUNDS_FOLDER", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))  # without espeak-ng
    lines = run("extraction/plot_sounds.py", tmp_path)
    assert "instruments by formula" in lines.splitlines()[0]
    found = re.findall(r"layer \S+: what is said (\S+), kind of sound (\S+)", lines)
    assert len(found) == 5
    assert min(float(value) for pair in found for value in pair) >= 0.6


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_dask_passes_each_image_once(tmp_path):
    pytest.importorskip("distributed", reason="distributed is not installed")
    printed = run("scale/plot_dask.py", tmp_path)
    here, first, second = map(
        int, re.search(r"(\d+) here, \[(\d+), (\d+)\]", printed).groups()
    )
    assert here == 75
    assert first + second == 165
    assert float(re.search(r"accuracy: (0\.\d+|1\.0+)", printed)[1]) > 0.9


@pytest.mark.slow
def test_weighters_are_compared_with_the_true_ratio(tmp_path):
    lines = run("weighting/plot_compare_weighters.py", tmp_path)
    found = re.findall(r"^ *(\S.*?): correlation (\S+), effective", lines, re.MULTILINE)
    correlations = {name: float(value) for name, value in found}
    assert max(correlations, key=correlations.get) == "ULSIF"
    assert correlations["label shift"] < 0.2 < 0.5 < sorted(correlations.values())[1]
    source, target = map(float, re.findall(r"accuracy in the \w+: (\S+)", lines))
    estimates = [float(value) for value in re.findall(r"estimate (\S+)", lines)]
    assert len(estimates) == 4
    assert all(abs(value - target) < abs(source - target) for value in estimates)


@pytest.mark.slow
def test_an_objective_of_five_lines_adapts_about_as_well_as_coral(tmp_path):
    lines = run("finetuning/plot_own_objective.py", tmp_path)
    rows = re.findall(r"^ *(\S.*?): accuracy on the target (\S+)", lines, re.MULTILINE)
    accuracies = {name: float(value) for name, value in rows}
    assert len(accuracies) == 5
    none = accuracies.pop("none")
    assert all(accuracy > none + 0.08 for accuracy in accuracies.values())
    assert abs(accuracies["mean distance"] - accuracies["CORAL"]) < 0.06
    assert max(accuracies, key=accuracies.get) == "MMD"
