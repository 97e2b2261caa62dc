import sys

import matplotlib.pyplot as plt
import pytest

from sklearn_transfer import (
    DomainDisplay,
    NegativeTransferDisplay,
    TrainingDisplay,
    WeightsDisplay,
)


def test_given_axes_are_drawn_on(domains):
    figure, (left, right) = plt.subplots(1, 2)
    weights = WeightsDisplay.from_weights([1, 2], ax=left, bar_kwargs={"color": "red"})
    both = DomainDisplay.from_data(*domains, ax=right, scatter_kwargs={"s": 3})
    assert weights.ax_ is left
    assert both.ax_ is right
    assert weights.figure_ is both.figure_ is figure
    assert weights.bars_[0].get_facecolor() == (1, 0, 0, 1)
    assert set(both.points_[0].get_sizes()) == {3}


def test_missing_matplotlib_names_the_extra(domains, monkeypatch):
    for name in [n for n in sys.modules if n.startswith("matplotlib.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install \"sklearn-transfer\[plot\]\""):
        WeightsDisplay.from_weights([1.0, 2.0])
    with pytest.raises(ImportError, match=r"sklearn-transfer\[plot\]"):
        DomainDisplay.from_data(*domains)
    with pytest.raises(ImportError, match=r"TrainingDisplay.plot needs matplotlib: pip"):
        TrainingDisplay.from_history([{"epoch": 1, "train_loss": 1.0}])
    with pytest.raises(
        ImportError, match=r"NegativeTransferDisplay.plot needs matplotlib: pip"
    ):
        NegativeTransferDisplay(results={}).plot()
