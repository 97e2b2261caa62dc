import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_transfer import FineTunedClassifier, TrainingDisplay


class Trained(BaseEstimator):
    def fit(self, X, y=None):
        self.history_ = epochs_of("probe", "train")
        return self


def epochs_of(*phases, n_epochs=3, valid=True):
    history = []
    for phase in phases:
        for _ in range(n_epochs):
            n = len(history) + 1
            epoch = {"epoch": n, "phase": phase, "train_loss": 1 / n, "lr": 0.1, "dur": 0.5}
            epoch["best"] = n == 4
            if valid:
                epoch |= {"valid_loss": 1.5 / n, "valid_score": 1 - 0.5 / n}
            history.append(epoch)
    return history


def curve(display, key):
    return np.array(display.lines_[key].get_data())


def test_curves_are_the_history():
    display = TrainingDisplay.from_history(epochs_of("train", n_epochs=5))
    epochs = np.arange(1, 6)
    assert list(display.lines_) == ["train_loss", "valid_loss", "valid_score"]
    np.testing.assert_allclose(curve(display, "train_loss"), [epochs, 1 / epochs])
    np.testing.assert_allclose(curve(display, "valid_loss"), [epochs, 1.5 / epochs])
    np.testing.assert_allclose(curve(display, "valid_score"), [epochs, 1 - 0.5 / epochs])
    assert display.ax_.get_xlabel() == "Epoch"
    assert display.ax_.get_ylabel() == "Loss"
    assert display.ax_.get_title() == "5 epochs"


def test_score_has_an_axis_of_its_own():
    display = TrainingDisplay.from_history(epochs_of("train"))
    assert display.lines_["valid_score"].axes is display.score_ax_
    assert display.lines_["valid_loss"].axes is display.ax_
    assert display.score_ax_.get_ylabel() == "Validation score"
    assert display.score_ax_ is not display.ax_


def test_training_without_a_split_shows_one_curve():
    display = TrainingDisplay.from_history(epochs_of("train", valid=False))
    assert list(display.lines_) == ["train_loss"]
    assert display.score_ax_ is None
    assert len(display.figure_.axes) == 1


def test_score_may_be_absent_beside_a_validation_loss():
    history = [{"epoch": 1, "train_loss": 2.0, "valid_loss": 3.0, "valid_score": None}]
    display = TrainingDisplay.from_history(history)
    assert list(display.lines_) == ["train_loss", "valid_loss"]
    assert display.score_ax_ is None
    assert display.ax_.get_title() == "1 epoch"


def test_best_epoch_is_marked():
    display = TrainingDisplay.from_history(epochs_of("probe", "train"))
    assert set(display.best_.get_xdata()) == {4}
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert texts == ["training loss", "validation loss", "validation score", "best epoch, 4"]


def test_last_of_several_best_epochs_is_marked():
    history = epochs_of("train")
    for epoch, best in zip(history, [True, True, False], strict=True):
        epoch["best"] = best
    assert set(TrainingDisplay.from_history(history).best_.get_xdata()) == {2}


def test_no_epoch_is_marked_where_none_is_best():
    display = TrainingDisplay.from_history([{"epoch": 1, "train_loss": 2.0}])
    assert display.best_ is None
    assert len(display.legend_.get_texts()) == 1


def extents(display):
    display.figure_.draw_without_rendering()
    boxes = [span.get_window_extent() for span in display.spans_]
    to_data = display.ax_.transData.inverted()
    return [tuple(to_data.transform(box.get_points())[:, 0]) for box in boxes]


def test_phases_are_shaded_in_turn_and_named():
    display = TrainingDisplay.from_history(epochs_of("probe", "train", "probe", n_epochs=2))
    np.testing.assert_allclose(extents(display), [(0.5, 2.5), (2.5, 4.5), (4.5, 6.5)])
    shades = [span.get_facecolor()[3] for span in display.spans_]
    assert shades[0] == shades[2] != shades[1]
    names = [label.get_text() for label in display.phase_ax_.get_xticklabels()]
    assert names == ["probe", "train", "probe"]
    np.testing.assert_allclose(display.phase_ax_.get_xticks(), [1.5, 3.5, 5.5])


def test_one_phase_is_not_shaded():
    display = TrainingDisplay.from_history(epochs_of("train"))
    assert display.spans_ == []
    assert display.phase_ax_ is None


def test_names_of_phases_never_overlap():
    phases = [f"from stage {number} of the network" for number in range(6)]
    display = TrainingDisplay.from_history(epochs_of(*phases, n_epochs=1))
    display.figure_.draw_without_rendering()
    labels = display.phase_ax_.get_xticklabels()
    assert {label.get_rotation() for label in labels} == {30}
    few = TrainingDisplay.from_history(epochs_of("probe", "train"))
    few.figure_.draw_without_rendering()
    assert {label.get_rotation() for label in few.phase_ax_.get_xticklabels()} == {0}
    first, second = (x.get_window_extent() for x in few.phase_ax_.get_xticklabels())
    assert not first.overlaps(second)
    title = few.ax_.title.get_window_extent()
    assert title.y0 >= max(first.y1, second.y1)


def test_every_epoch_is_in_sight_and_ticks_are_whole():
    for n_epochs in (1, 2, 7):
        display = TrainingDisplay.from_history(epochs_of("train", n_epochs=n_epochs))
        assert display.ax_.get_xlim() == (0.5, n_epochs + 0.5)
        ticks = display.ax_.get_xticks()
        np.testing.assert_array_equal(ticks, np.round(ticks))
        assert {t for t in ticks if 0.5 <= t <= n_epochs + 0.5}


@pytest.mark.parametrize("gap", [None, np.nan, np.inf])
def test_values_that_are_not_finite_are_gaps(gap):
    history = epochs_of("train")
    history[1]["valid_loss"] = gap
    display = TrainingDisplay.from_history(history)
    np.testing.assert_array_equal(curve(display, "valid_loss")[1], [1.5, np.nan, 0.5])
    display.figure_.draw_without_rendering()


def test_training_that_diverged_is_drawn():
    history = [{"epoch": n, "train_loss": np.nan, "best": False} for n in (1, 2)]
    display = TrainingDisplay.from_history(history)
    display.figure_.draw_without_rendering()
    assert np.isnan(curve(display, "train_loss")[1]).all()


def test_fitted_estimator_gives_its_history():
    display = TrainingDisplay.from_estimator(Trained().fit([[0]]))
    assert display.ax_.get_title() == "Trained, 6 epochs"
    assert display.history == Trained().fit([[0]]).history_
    renamed = TrainingDisplay.from_estimator(Trained().fit([[0]]), name="mine")
    assert renamed.ax_.get_title() == "mine, 6 epochs"


def test_history_of_the_caller_is_kept_apart():
    history = epochs_of("train")
    display = TrainingDisplay.from_history(history)
    history[0]["train_loss"] = -1
    assert display.history[0]["train_loss"] == 1


def test_estimator_that_is_not_fitted_is_refused():
    with pytest.raises(NotFittedError, match="This Trained instance is not fitted yet"):
        TrainingDisplay.from_estimator(Trained())


def test_estimator_without_a_history_is_refused():
    pipe = make_pipeline(LogisticRegression()).fit([[0.0], [1.0]], [0, 1])
    message = r"{} has no history_.*fitted FineTunedClassifier.*pipe\[-1\]"
    with pytest.raises(ValueError, match=message.format("Pipeline")):
        TrainingDisplay.from_estimator(pipe)
    with pytest.raises(ValueError, match=message.format("LogisticRegression")):
        TrainingDisplay.from_estimator(pipe[-1])


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ([], "history has no epochs"),
        ({"epoch": 1, "train_loss": 2.0}, "history is a dict, expected a list"),
        (3, "history is a int, expected a list"),
        ([3], r"history\[0\] is a int, expected a dict"),
        (
            [{"epoch": 1, "loss": 2.0}],
            r"history\[0\] has no 'train_loss', only \['epoch', 'loss'\]",
        ),
        ([{"train_loss": 2.0}], r"history\[0\] has no 'epoch'"),
    ],
)
def test_other_histories_are_refused(history, message):
    with pytest.raises(ValueError, match=message):
        TrainingDisplay.from_history(history)


def test_given_axes_and_styles_are_used():
    figure, ax = plt.subplots()
    estimator = FineTunedClassifier()
    estimator.history_ = epochs_of("train")
    options = {"ax": ax, "line_kwargs": {"color": "red", "linewidth": 3}}
    display = TrainingDisplay.from_estimator(estimator, **options)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert {line.get_linewidth() for line in display.lines_.values()} == {3}
    assert display.lines_["train_loss"].get_color() == "red"
    default = TrainingDisplay.from_history(epochs_of("train"))
    colors = [to_rgba(line.get_color()) for line in default.lines_.values()]
    assert len(set(colors)) == 3
