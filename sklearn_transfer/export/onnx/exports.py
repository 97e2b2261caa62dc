"""Export of one fitted estimator: its network, the steps behind it, the check, the file."""

import functools
import json
import os
import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from sklearn_transfer._validation import import_optional
from sklearn_transfer.export.onnx.fronts import make_front
from sklearn_transfer.export.onnx.unwrapping import FINE_TUNERS, unwrap

_MOST_BYTES = 2**31 - 2**24  # of weights; the graph needs room too
_PACKAGES = ("sklearn-transfer", "scikit-learn", "torch", "timm", "transformers")
_PACKAGES += ("onnx", "skl2onnx", "onnxruntime", "pillow", "numpy")


class Export:
    """A fitted estimator on its way into a file.

    Parameters
    ----------
    fitted : estimator
        What is exported.
    input_size : int, (height, width) or None
        Size of pictures that are resized in the file.
    """

    def __init__(self, fitted, input_size=None):
        front, self.steps = unwrap(fitted)
        self.is_trained = isinstance(front, FINE_TUNERS)
        # So that the cache holds no examples of the comparison.
        self.estimator = _make_twin(front, cache=None)
        self.backbone = self._find_backbone()
        reader = self.estimator._make_reader(self.backbone)
        signature = self._find_signature(reader)
        self.front = make_front(self.estimator, reader, signature, input_size)

    def _find_backbone(self):
        if self.is_trained:
            return self.estimator._backbone
        return _make_twin(self.estimator, device="cpu")._open_checked_backbone().load()

    def _find_signature(self, reader):
        if self.is_trained:
            return self.estimator._signature
        found = reader.find_signature(()) or getattr(self.estimator, "_signature", None)
        if found is None:
            raise ValueError(
                f"This {type(self.estimator).__name__} was fitted with no sample that can be"
                " used, so the shape of its input is not known; call fit with one"
            )
        return found

    @functools.cached_property
    def module(self):
        """The network, as a module of PyTorch."""
        from sklearn_transfer.export.onnx import modules

        if self.is_trained:
            kind = "embedding" if self.steps else "logits"
            return modules.make_trained_module(self.estimator, self.front, kind)
        return modules.make_extractor_module(self.estimator, self.backbone, self.front)

    def write(self, path, X, tolerance):
        """Write the file, unless it differs from Python; returns its path."""
        for package in ("onnx", "onnxruntime"):
            import_optional(package, "onnx", "exporting to ONNX")
        _check_path(path)
        self._check_size()
        folder = os.path.dirname(os.path.abspath(path))
        with tempfile.TemporaryDirectory(dir=folder, prefix=".onnx-") as place:
            written = os.path.join(place, "model.onnx")
            self._write_checked(written, X, tolerance)
            os.replace(written, path)
        return path

    def _check_size(self):
        size = sum(p.numel() * p.element_size() for p in self.backbone.module.parameters())
        if size > _MOST_BYTES:
            raise ValueError(
                f"the weights of {self.backbone.label} take {size / 2**30:.1f} GB, more than the"
                " 2 GB that one ONNX file holds; use a smaller network"
            )

    def _write_checked(self, path, X, tolerance):
        import onnx

        from sklearn_transfer.export.onnx import checks, graphs

        given = self.front.make_examples() if X is None else X
        samples = self.estimator._check_samples(given, reset=False)
        if not len(samples):
            raise ValueError("X holds no sample to compare the file with; pass one or more")
        payloads = self.front.read(samples)
        expected = self._predict(given)
        model = self._make_model(path)
        onnx.save_model(model, path)
        found = checks.compute_outputs(path, payloads, self.front)
        difference = checks.check_outputs(found, expected, tolerance)
        graphs.describe_outputs(model, found, len(payloads))
        entries = self._describe(tolerance, difference)
        graphs.write_metadata(model, entries)
        onnx.checker.check_model(model)
        onnx.save_model(model, path)

    def _predict(self, X):
        """Return what the estimator gives in Python, by the names of outputs."""
        from sklearn_transfer.export.onnx import graphs, heads, targets

        if not self.steps and self.is_trained:
            return targets.list_expected(self.estimator, X)
        features = self.estimator.transform(X)
        if not self.steps:
            return {graphs.FEATURES: np.asarray(features)}
        return heads.list_expected_of_steps(self.steps, features)

    def _make_model(self, path):
        from sklearn_transfer.export.onnx import graphs, targets
        from sklearn_transfer.export.onnx.heads import build_head_graph

        width = self.module.width
        if self.steps:
            head = build_head_graph(self.steps, width)
        elif self.is_trained:
            head = targets.build_target_graph(self.estimator._targets, width)
        else:
            head = graphs.build_identity(width, targets.VARIABLE)
        self._export_network(path)
        return graphs.join(graphs.load_graph(path), head)

    def _export_network(self, path):
        from sklearn_transfer._networks.onnx import export_module
        from sklearn_transfer.export.onnx.graphs import FEATURES

        inputs = self.module.inputs
        export_module(
            self.module,
            self.module.example(2),
            path,
            names=[given.name for given in inputs],
            dynamic_axes={given.name: _name_axes(given.shape) for given in inputs}
            | {FEATURES: {0: "samples"}},
            output_names=[FEATURES],
        )

    def _describe(self, tolerance, difference):
        """Return the metadata of the file, by name."""
        last = self.steps[-1][1] if self.steps else self.estimator
        parts = [self.estimator, *(step for _, step in self.steps)]
        entries = {
            "inputs": json.dumps([vars(given) for given in self.module.inputs]),
            "estimator": " > ".join(type(part).__name__ for part in parts),
            "network": self.backbone.label,
            "weights_sha256": self.backbone.weights_sha256,
            "license": self._find_license(),
            "versions": json.dumps(_list_versions()),
            "tolerance": f"{tolerance:g}",
            "difference": f"{difference:.2e}",
            **self.front.describe(),
        }
        if hasattr(last, "classes_"):
            entries["classes"] = json.dumps(_list_classes(last.classes_), ensure_ascii=False)
        return {name: text for name, text in entries.items() if text}

    def _find_license(self):
        """Return the license of pretrained weights, as timm states it, or an empty string."""
        source = self.estimator._get_source() if self.is_trained else self.estimator
        weights = getattr(source, "weights", None)
        if not isinstance(source.model, str) or not _is_word(weights, "pretrained"):
            return ""
        module = self.backbone.module
        stated = getattr(getattr(module, "body", module), "pretrained_cfg", None)
        return str(stated.get("license") or "") if isinstance(stated, dict) else ""


def _make_twin(estimator, **params):
    """Return an estimator that shares all but some parameters; copies would copy weights."""
    twin = object.__new__(type(estimator))
    vars(twin).update(vars(estimator))
    for name, value in params.items():
        setattr(twin, name, value)
    return twin


def _check_path(path):
    path = os.fspath(path)
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"path={path!r}: there is no folder {folder!r}; make it first")
    if os.path.isdir(path):
        raise IsADirectoryError(f"path={path!r} is a folder; expected the name of a file")


def _name_axes(shape):
    names = ("samples", "positions")
    return {axis: names[axis] for axis, edge in enumerate(shape) if edge is None}


def _list_classes(classes):
    if isinstance(classes, list):
        return [None if c is None else np.asarray(c).tolist() for c in classes]
    return np.asarray(classes).tolist()


def _list_versions():
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _is_word(value, word):
    return isinstance(value, str) and value == word
