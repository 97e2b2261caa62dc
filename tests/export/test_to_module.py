import subprocess
import sys
import warnings

import numpy as np
import torch

from sklearn_transfer import PretrainedFeatures, to_module


def test_a_module_gives_the_features(pictures):
    X, _ = pictures
    options = {"weights": None, "input_size": 32, "cache": None, "engine": "torch"}
    extractor = PretrainedFeatures("test_resnet", layers=["middle", None], **options).fit(X)
    module = to_module(extractor, input_size=(40, 30))
    expected = extractor.transform(X)
    found = module(torch.from_numpy(X)).numpy()
    assert module.width == expected.shape[1]
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_module_can_be_traced(pipe, pictures):
    X, _ = pictures
    module = to_module(pipe, input_size=(40, 30))
    example = tuple(module.example(2).values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing, which torch 2.14 deprecates
        traced = torch.jit.trace(module, example, check_trace=False)
    given = torch.from_numpy(X[:5])
    torch.testing.assert_close(traced(given), module(given))


def test_a_module_of_a_fine_tuner_gives_its_outputs(tuned, pictures):
    X, _ = pictures
    module = to_module(tuned, input_size=(40, 30))
    found = module(torch.from_numpy(X)).softmax(1).numpy()
    assert np.abs(found - tuned.predict_proba(X)).max() < 1e-5


def test_inputs_are_described(pipe):
    (given,) = to_module(pipe).inputs
    assert (given.name, given.dtype, given.shape) == ("pixels", "uint8", (None, 32, 32, 3))
    assert "RGB" in given.meaning


def test_the_stage_loads_no_network_library():
    code = (
        "import sys, sklearn_transfer.export\n"
        "assert not {'torch', 'timm', 'onnx', 'skl2onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
