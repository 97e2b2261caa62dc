"""Equal fine-tuners have equal pickles, hashes and tokens; `net_` is there after them."""

import copy
import gc
import io
import pickle
import threading

import joblib
import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, GradientNormClipping

from sklearn_transfer import (
    AutoencoderFeatures,
    FineTunedClassifier,
    FineTunedRegressor,
    PretrainedFeatures,
)
from tests import processes, small_networks

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(40, 5))
CLASSES = np.array(["a", "b", "c"])[TABLE[:, :3].argmax(axis=1)]
IMAGES = RNG.integers(0, 255, (12, 32, 32, 3)).astype(np.uint8)
LABELS = np.array(["dark", "light"])[np.arange(12) % 2]
BOTH = np.column_stack([CLASSES, np.array(["x", "y"])[np.arange(40) % 2]])
SMALL_VIT = {"weights": None, "input_size": 32, "lora_rank": 2}


class Noting(Callback):
    """Callback with a set, and with state of its own."""

    def __init__(self, names=frozenset({"train_loss", "valid_loss", "dur"})):
        self.names = names


def visual(model=None, kind=FineTunedClassifier, **options):
    defaults = {"max_epochs": 1, "engine": "torch", "batch_size": 6, "freeze": "early"}
    model = small_networks.staged() if model is None else model
    return kind(model, **{**defaults, **options}), IMAGES, LABELS


def tabular(y=CLASSES, kind=FineTunedClassifier, **options):
    defaults = {"model": small_networks.perceptron, "preprocess": None, "freeze": None}
    return kind(**{**defaults, "max_epochs": 1, "batch_size": 20, **options}), TABLE, y


def codes(X=IMAGES, **options):
    return AutoencoderFeatures(3, max_epochs=1, **options), X, None


CASES = {
    "head": lambda: visual(freeze="all"),
    "last stage": visual,
    "patterns": lambda: visual(freeze=["stem", "late"]),
    "whole": lambda: visual(freeze=None),
    "pulled": lambda: visual(l2_sp=0.1),
    "low rank": lambda: visual("test_vit", freeze=None, **SMALL_VIT),
    "name": lambda: visual("test_resnet", freeze="deep", weights=None, input_size=32),
    "probe first": lambda: visual(schedule="lp-ft"),
    "nested": lambda: visual(PretrainedFeatures(small_networks.staged(), input_size=32)),
    "stopped early": lambda: visual(early_stopping=1, max_epochs=3),
    "callbacks": lambda: visual(callbacks=[Noting(), ("clip", GradientNormClipping(1.0))]),
    "other optimizer": lambda: visual(net_params={"optimizer": torch.optim.SGD}),
    "given weights": lambda: visual(
        weights=small_networks.staged().state_dict(), model=staged_net()
    ),
    "random state": lambda: visual(random_state=np.random.RandomState(0)),
    "labels": tabular,
    "tasks": lambda: tabular(BOTH),
    "weighted tasks": lambda: tabular(BOTH, tasks=[{"weight": 2.0}, {"name": "second"}]),
    "several labels": lambda: tabular((TABLE[:, :3] > 0).astype(int)),
    "class weights": lambda: tabular(class_weight={"a": 1.0, "b": 2.0, "c": 1.0}),
    "numbers": lambda: tabular(1e4 * TABLE[:, :2], FineTunedRegressor),
    "codes of images": codes,
    "codes of tables": lambda: codes(TABLE, preprocess=None),
}


def staged_net():
    return small_networks.Staged()


@pytest.fixture(scope="module")
def fitted_case():
    """Fitted estimator of a case, made once."""
    known = {}

    def make(case):
        if case not in known:
            estimator, X, y = CASES[case]()
            known[case] = estimator.fit(X, y), X
        return known[case]

    return make


def again(estimator):
    return pickle.loads(pickle.dumps(estimator))


def outputs(estimator, X):
    """What a network gives for samples, as one matrix."""
    for method in ("decision_function", "predict", "transform"):
        if hasattr(estimator, method):
            found = getattr(estimator, method)(X)
            parts = found if isinstance(found, list) else [found]
            return np.column_stack(parts)


def token(estimator):
    dask = pytest.importorskip("dask.base")
    return dask.tokenize(estimator, ensure_deterministic=True)


@pytest.mark.parametrize("case", CASES)
def test_a_round_trip_changes_no_hash(case, fitted_case):
    fitted, _ = fitted_case(case)
    expected = joblib.hash(fitted)
    first = again(fitted)
    for other in (fitted, first, again(first), copy.deepcopy(fitted)):
        assert joblib.hash(other) == expected


@pytest.mark.parametrize("case", CASES)
def test_a_round_trip_changes_no_token(case, fitted_case):
    fitted, _ = fitted_case(case)
    first = again(fitted)
    assert {token(other) for other in (first, again(first), fitted)} == {token(fitted)}


@pytest.mark.parametrize("case", CASES)
def test_a_round_trip_changes_no_bit_of_a_prediction(case, fitted_case):
    fitted, X = fitted_case(case)
    np.testing.assert_array_equal(outputs(again(fitted), X), outputs(fitted, X))


def hashes_of(content):
    fitted = pickle.loads(content)
    return joblib.hash(fitted), token(fitted), joblib.hash(again(fitted))


@pytest.mark.parametrize("case", ["callbacks", "low rank", "tasks", "codes of images"])
def test_hashes_are_those_of_another_process(case, fitted_case):
    fitted, _ = fitted_case(case)
    found = processes.call(hashes_of, pickle.dumps(fitted))
    assert found == (joblib.hash(fitted), token(fitted), joblib.hash(fitted))


@pytest.mark.parametrize("case", ["pulled", "tasks", "codes of tables"])
def test_fifty_calls_in_a_busy_process_give_one_hash(case, fitted_case):
    fitted, X = fitted_case(case)
    other, rows, y = tabular()
    found, litter = set(), []
    for call in range(50):
        if call % 10 == 0:
            other.fit(rows, y)
            gc.collect()
        outputs(fitted, X)
        litter.append(again(fitted) if call % 5 else [])
        gc.collect(0)
        found.add((joblib.hash(fitted), token(fitted)))
    assert len(found) == 1


@pytest.mark.parametrize("case", ["last stage", "head"])
def test_hashes_do_not_change_while_others_predict(case, fitted_case):
    fitted, X = fitted_case(case)
    expected, found, done = joblib.hash(fitted), set(), threading.Event()

    def predict():
        while not done.is_set():
            outputs(fitted, X)

    threads = [threading.Thread(target=predict) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            found.add(joblib.hash(fitted))
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert found == {expected}


def flip(tensor):
    """Turn the last bit of the first entry."""
    with torch.no_grad():
        bits = tensor.view(-1).view(torch.int32)
        bits[0] ^= 1


CHANGES = {
    "weight": lambda m: flip(m._network.body.early.conv.weight),
    "head": lambda m: flip(m._network.head.linear.bias),
    "statistics": lambda m: flip(m._network.body.late.norm.running_var),
    "start": lambda m: flip(m._start["late.conv.weight"]),
    "given module": lambda m: flip(m.model.head.weight),
    "history": lambda m: m.history_[0].update(dur=0.0),
    "parameter": lambda m: m.set_params(lr=0.5),
}


@pytest.mark.parametrize("change", CHANGES)
def test_one_bit_changes_hash_and_token(change):
    estimator, X, y = visual(l2_sp=0.1)
    fitted = estimator.fit(X, y)
    before = joblib.hash(fitted), token(fitted)
    CHANGES[change](fitted)
    assert joblib.hash(fitted) != before[0]
    assert token(fitted) != before[1]


@pytest.mark.parametrize("part", ["encoder_", "decoder_"])
def test_one_bit_of_an_autoencoder_changes_its_hash(part):
    estimator, X, _ = codes()
    before = joblib.hash(estimator.fit(X))
    flip(next(getattr(estimator, part).parameters()))
    assert joblib.hash(estimator) != before


class Peculiar(small_networks.Staged):
    """Staged with whatever a module of a user's may hold."""

    def __init__(self):
        super().__init__()
        self.options = {"b", "a", "c", "d"}
        self.register_buffer("small", torch.ones(3, dtype=torch.bfloat16))
        self.register_buffer("first", self.head.bias.detach()[:2])  # memory of the bias
        self.register_buffer("turned", torch.arange(6.0).view(2, 3).T, persistent=False)
        self.register_buffer("empty", torch.zeros(0, 4))
        self.array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
        self.names = np.array(["x", None], dtype=object)
        self.stem.weight.note = "of the user"
        self.kind = torch.float32
        self.function = torch.relu
        self.tied = self.head


def peculiar():
    net = Peculiar()
    net.load_state_dict({**net.state_dict(), **small_networks.staged().state_dict()})
    return net.to(memory_format=torch.channels_last).eval()


def test_modules_survive_whole():
    estimator, X, y = visual(peculiar())
    fitted = estimator.fit(X, y)
    found, expected = again(fitted).model, fitted.model
    for name, tensor in expected.named_buffers():
        other = found.get_buffer(name)
        assert torch.equal(other, tensor)
        assert (other.dtype, other.stride()) == (tensor.dtype, tensor.stride())
    assert found.stem.weight.stride() == expected.stem.weight.stride()
    assert found.first.data_ptr() == found.head.bias.data_ptr()
    assert found.tied is found.head
    assert found.stem.weight.note == "of the user"
    assert (found.kind, found.function, found.options) == (
        torch.float32,
        torch.relu,
        expected.options,
    )
    np.testing.assert_array_equal(found.array, expected.array)
    assert found.names.tolist() == ["x", None]
    assert joblib.hash(again(fitted)) == joblib.hash(fitted)


def test_memory_of_a_copy_is_its_own():
    estimator, X, y = visual()
    fitted = estimator.fit(X, y)
    before = joblib.hash(fitted)
    flip(copy.deepcopy(fitted)._network.head.linear.weight)
    flip(again(fitted)._network.head.linear.weight)
    assert joblib.hash(fitted) == before


class Watching(Callback):
    """Callback that knows the estimator it is given to."""

    def __init__(self, watched=None):
        self.watched = watched


def test_an_estimator_may_refer_to_itself():
    estimator, X, y = tabular()
    estimator.set_params(callbacks=[Watching(estimator)]).fit(X, y)
    other = again(estimator)
    assert other.callbacks[0].watched is other
    assert joblib.hash(other) == joblib.hash(estimator)


def test_unfitted_estimators_have_one_hash():
    estimator, _, _ = visual()
    assert joblib.hash(again(estimator)) == joblib.hash(estimator)


def test_cloudpickle_takes_what_it_alone_can_name():
    cloudpickle = pytest.importorskip("cloudpickle")
    model = small_networks.mlp(5)
    model.scale = lambda x: 2 * x
    estimator, X, y = tabular(model=model)
    fitted = estimator.fit(X, y)
    other = pickle.loads(cloudpickle.dumps(fitted))
    np.testing.assert_array_equal(outputs(other, X), outputs(fitted, X))
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        pickle.dumps(fitted)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_all_protocols_give_one_estimator(protocol, fitted_case):
    fitted, _ = fitted_case("last stage")
    other = pickle.loads(pickle.dumps(fitted, protocol=protocol))
    assert joblib.hash(other) == joblib.hash(fitted)


@pytest.mark.parametrize("mode", [None, "r"])
def test_files_of_joblib_may_be_read_only(mode, fitted_case, tmp_path):
    fitted, X = fitted_case("labels")
    joblib.dump(fitted, tmp_path / "model.joblib")
    other = joblib.load(tmp_path / "model.joblib", mmap_mode=mode)
    assert joblib.hash(other) == joblib.hash(fitted)
    other.partial_fit(X, CLASSES)


def test_a_pickle_holds_a_network_once(fitted_case):
    fitted, _ = fitted_case("name")
    n_bytes = sum(t.numel() * t.element_size() for t in fitted._network.state_dict().values())
    assert len(pickle.dumps(fitted)) < 1.2 * n_bytes


class _StateOfBefore:
    """Reduces an estimator as earlier versions did: attributes, and the module itself."""

    def __init__(self, estimator):
        self.estimator = estimator

    def __reduce__(self):
        left_out = {"_factors", "_remade_net", "_net", "_prefix", "_backbone"}
        state = {n: v for n, v in vars(self.estimator).items() if n not in left_out}
        state |= {"_net": None, "_prefix": None, "_backbone": None}
        return object.__new__, (type(self.estimator),), state


@pytest.mark.parametrize("case", ["last stage", "pulled", "tasks"])
def test_pickles_of_before_are_read(case, fitted_case):
    fitted, X = fitted_case(case)
    file = io.BytesIO(pickle.dumps(_StateOfBefore(fitted)))
    other = pickle.load(file)
    np.testing.assert_array_equal(outputs(other, X), outputs(fitted, X))
    assert len(other.net_.history) == len(fitted.net_.history)


WAYS = ["pickle", "load"]


def by(way, fitted, folder):
    if way == "pickle":
        return again(fitted)
    fitted.save(folder)
    return type(fitted).load(folder, model=fitted.model)


@pytest.mark.parametrize("way", WAYS)
def test_a_net_is_there_after_a_round_trip(way, tmp_path):
    estimator, X, y = visual(freeze=None, early_stopping=True, max_epochs=2)
    fitted = estimator.fit(X, y)
    other = by(way, fitted, tmp_path)
    assert other.net_ is other.net_
    assert other.net_.initialized_
    assert other.net_.module_ is other._network
    names = ["epoch", "train_loss", "valid_loss", "valid_score", "dur"]
    for name in names:
        assert other.net_.history[:, name] == fitted.net_.history[:, name]


@pytest.mark.parametrize("way", ["trained", *WAYS])
@pytest.mark.parametrize("freeze", [None, "early"])
def test_a_net_predicts_from_network_input(way, freeze, tmp_path):
    estimator, X, y = visual(freeze=freeze, preprocess=small_networks.to_pixels)
    other = estimator.fit(X, y)
    if way == "pickle":
        other = again(other)
    if way == "load":
        other.save(tmp_path)
        given = {"model": other.model, "preprocess": small_networks.to_pixels}
        other = FineTunedClassifier.load(tmp_path, **given)
    pixels = np.stack([small_networks.to_pixels(image).numpy() for image in X])
    logits = other.net_.predict(pixels)
    margin = logits[:, 1] - logits[:, 0]
    np.testing.assert_allclose(margin, other.decision_function(X), atol=1e-5)


def test_entries_of_the_probe_are_no_epochs_of_the_net():
    estimator, X, y = visual(schedule="lp-ft", max_epochs=2)
    other = again(estimator.fit(X, y))
    assert other.history_[0]["phase"] == "probe"
    assert len(other.net_.history) == 2


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", ["tasks", "pulled", "whole", "other optimizer"])
def test_looking_at_the_net_changes_no_later_training(way, case, fitted_case, tmp_path):
    fitted, X = fitted_case(case)
    y = BOTH if case == "tasks" else LABELS
    others = []
    for look in (False, True):
        folder = tmp_path / str(look)
        if case == "other optimizer" and way == "load":
            fitted.save(folder)
            params = {"model": fitted.model, "net_params": fitted.net_params}
            other = FineTunedClassifier.load(folder, **params)
        else:
            other = by(way, fitted, folder)
        if look:
            before = other.net_
        others.append(other.partial_fit(X, y))
    assert others[1].net_ is not before
    np.testing.assert_array_equal(outputs(others[0], X), outputs(others[1], X))


def test_a_net_has_the_callbacks_and_factors_of_the_training():
    y = np.array(BOTH, dtype=object)
    y[:30, 1] = None
    estimator, X, _ = tabular(callbacks=[("mine", Noting())])
    fitted = estimator.fit(X, y)
    other = again(fitted)
    assert dict(other.net_.callbacks_)["mine"].names == Noting().names
    assert other.net_.criterion_.factors == fitted.net_.criterion_.factors == [1.0, 4.0]


def test_a_pickle_holds_no_net():
    estimator, X, y = tabular()
    fitted = estimator.fit(X, y)
    other = again(fitted)
    other.net_.initialize_optimizer()
    assert joblib.hash(other) == joblib.hash(fitted)
    assert vars(again(other)).get("_remade_net") is None


def test_an_unfitted_estimator_has_no_net():
    with pytest.raises(AttributeError, match="no net_ before it is fitted"):
        tabular()[0].net_  # noqa: B018


class Locked(FineTunedClassifier):
    """With an attribute that no pickle takes, which it leaves out."""

    def fit(self, X, y):
        super().fit(X, y)
        self.lock_ = threading.Lock()
        return self

    def __getstate__(self):
        return {n: value for n, value in super().__getstate__().items() if n != "lock_"}

    def __setstate__(self, state):
        super().__setstate__(state)
        self.lock_ = threading.Lock()


class LockedCodes(AutoencoderFeatures):
    """The same of an autoencoder."""

    def fit(self, X, y=None):
        super().fit(X)
        self.lock_ = threading.Lock()
        return self

    def __getstate__(self):
        return {n: value for n, value in super().__getstate__().items() if n != "lock_"}


@pytest.mark.parametrize("kind", [Locked, LockedCodes])
def test_a_subclass_says_what_its_pickles_hold(kind):
    if kind is Locked:
        estimator, X, y = tabular(kind=kind)
    else:
        estimator, X, y = kind(3, max_epochs=1, preprocess=None), TABLE, None
    fitted = estimator.fit(X, y)
    other = again(fitted)
    assert hasattr(other, "lock_") is (kind is Locked)
    np.testing.assert_array_equal(outputs(other, X), outputs(fitted, X))
    assert joblib.hash(other) == joblib.hash(fitted)


def test_the_order_of_a_set_of_sets_changes_no_hash():
    members = [frozenset({i, i + k}) for i in range(12) for k in range(2)]
    forward, backward = set(members), set()
    backward.update(range(1000, 1100), reversed(members))
    backward.difference_update(range(1000, 1100))
    assert forward == backward
    assert list(forward) != list(backward)
    hashes = {joblib.hash(tabular(callbacks=[Noting(s)])[0]) for s in (forward, backward)}
    assert len(hashes) == 1


class Sibling:
    """Member of a set that it knows."""

    def __init__(self):
        self.siblings = {self}


def test_a_set_may_hold_what_holds_it():
    estimator, _, _ = tabular(callbacks=[Noting(Sibling().siblings)])
    (found,) = again(estimator).callbacks[0].names
    assert found.siblings == {found}
