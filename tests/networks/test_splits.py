"""A network in two parts: together they are the whole, in both modes."""

import copy
import pickle
import threading

import pytest
import torch
from timm import create_model
from torch import nn

from sklearn_transfer._networks.splits import Resumption, Split, find_upstream, split
from tests import small_networks

# (network, pixels, boundaries)
SMALL = [
    ("test_resnet", 32, ["layer1", "layer3"]),
    ("test_vit", 32, ["blocks.0", "blocks.2"]),
    ("test_efficientnet", 32, ["blocks.1", "conv_head"]),
    ("test_convnext", 32, ["stages.0", "stages.2"]),
    ("test_byobnet", 32, ["stages.1"]),
]
LARGE = [
    ("resnet18", 64, ["layer1", "layer2.0", "layer3"]),
    ("vit_tiny_patch16_224", 64, ["blocks.3", "blocks.10"]),
    ("convnext_atto", 64, ["stages.0", "stages.2"]),
    ("swin_tiny_patch4_window7_224", 64, ["layers.0", "layers.2"]),
    ("densenet121", 64, ["features.denseblock1", "features.transition2"]),
    ("mobilenetv3_small_100", 64, ["blocks.1", "blocks.4"]),
    ("torchvision/squeezenet1_1", 64, ["features.4", "features.9"]),
    ("torchvision/densenet121", 64, ["features.denseblock2"]),
    ("torchvision/vit_b_16", 64, ["encoder.layers.encoder_layer_5"]),
    ("torchvision/googlenet", 64, ["inception4a"]),
    ("tf_efficientnet_lite0", 64, ["blocks.2", "blocks.4"]),
]
cases = [
    pytest.param(name, size, boundary, marks=marks, id=f"{name}-{boundary}")
    for networks_, marks in ((SMALL, ()), (LARGE, pytest.mark.slow))
    for name, size, boundaries in networks_
    for boundary in boundaries
]


def built(name, size):
    torch.manual_seed(0)
    if name.startswith("torchvision/"):
        import torchvision

        options = {"init_weights": True} if "googlenet" in name else {}
        options |= {"image_size": size} if "vit" in name else {}
        model = torchvision.models.get_model(name.partition("/")[2], weights=None, **options)
        if "googlenet" in name:
            model.aux1 = model.aux2 = None
            model.aux_logits = False
        return model.eval()
    options = {"img_size": size} if name.startswith(("vit", "swin", "test_vit")) else {}
    return create_model(name, **options).eval()


def activation_at(module, boundary, batch):
    found = []
    handle = module.get_submodule(boundary).register_forward_hook(
        lambda module, args, output: found.append(output.detach().clone())
    )
    with torch.no_grad():
        output = module(batch)
    handle.remove()
    return found[0], output


def noise(n, size, seed=0):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(("name", "size", "boundary"), cases)
def test_the_rest_continues_what_the_whole_would_give(name, size, boundary):
    model = built(name, size)
    record = split(model, model, noise(3, size), boundary)
    batch = noise(5, size, seed=1)
    activation, expected = activation_at(model, boundary, batch)
    assert record.shape == tuple(activation.shape[1:])
    with torch.no_grad(), Resumption(model, record) as resumed:
        found = resumed(model, activation)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(("name", "size", "boundary"), cases)
def test_gradients_of_the_rest_are_those_of_the_whole(name, size, boundary):
    model = built(name, size)
    record = split(model, model, noise(3, size), boundary)
    before = find_upstream(model, model, noise(3, size), boundary)
    rest = {n: p for n, p in model.named_parameters() if n not in before.parameters}
    batch = noise(4, size, seed=1)
    activation, _ = activation_at(model, boundary, batch)
    model(batch).square().sum().backward()
    expected = {n: p.grad.clone() for n, p in rest.items() if p.grad is not None}
    model.zero_grad()
    with Resumption(model, record) as resumed:
        resumed(model, activation).square().sum().backward()
    reached = {n for n, p in model.named_parameters() if p.grad is not None}
    assert reached == set(expected)
    for n, gradient in expected.items():
        scale = gradient.norm().clamp(min=1e-6)
        assert (rest[n].grad - gradient).norm() <= 1e-3 * scale + 1e-6, n


def test_the_rest_in_training_mode_gives_what_the_whole_gives():
    model = small_networks.staged()
    record = split(model, model, noise(3, 32), "early")
    batch = noise(6, 32, seed=1)
    model.train()
    for part in (model.stem, model.early):
        part.eval()
    start = copy.deepcopy(model.state_dict())
    activation = model.early(model.stem(batch)).detach()
    outputs, statistics = [], []
    for resume in (False, True):
        model.load_state_dict(start)
        torch.manual_seed(3)
        if resume:
            with Resumption(model, record) as resumed:
                outputs.append(resumed(model, activation))
        else:
            outputs.append(model(batch))
        statistics.append(model.late.norm.running_mean.clone())
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(statistics[0], statistics[1])
    assert not torch.equal(statistics[0], start["late.norm.running_mean"])


def test_modules_before_the_cut_do_no_work():
    model = small_networks.staged()
    record = split(model, model, noise(3, 32), "early")
    small_networks.Watched.reset()
    with Resumption(model, record) as resumed:
        resumed(model, torch.zeros(4, *record.shape))
    assert not small_networks.Watched.seen


@pytest.mark.parametrize("n_rows", [1, 2, 7])
def test_any_number_of_rows_goes_on(n_rows):
    model = small_networks.staged()
    record = split(model, model, noise(3, 32), "early")
    batch = noise(n_rows, 32, seed=1)
    with torch.no_grad(), Resumption(model, record) as resumed:
        found = resumed(model, model_part(model, batch))
    with torch.no_grad():
        torch.testing.assert_close(found, model(batch))


def model_part(model, batch):
    # Through the functions of the classes, since the modules are passed over meanwhile.
    return small_networks.Residual.forward(
        model.early, small_networks.Watched.forward(model.stem, batch)
    )


def test_a_by_passed_boundary_has_no_cut():
    model = small_networks.ByPassed()
    assert split(model, model, noise(3, 32), "middle") is None
    assert split(model, model, noise(3, 32), "late") is not None
    assert split(model, model, noise(3, 32), "stem") is not None


def test_a_boundary_with_more_rows_than_samples_has_no_cut():
    model = small_networks.Windows()
    assert split(model, model, noise(3, 32), "inner") is None


def test_a_boundary_that_returns_no_tensor_has_no_cut():
    class Pairs(nn.Module):
        def forward(self, x):
            return x, 2 * x

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.pairs, self.last = Pairs(), nn.Linear(4, 2)

        def forward(self, x):
            a, b = self.pairs(x)
            return self.last(a + b)

    model = Net()
    assert split(model, model, torch.randn(3, 4), "pairs") is None


def test_values_that_decide_before_the_cut_have_no_cut():
    class Deciding(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            h = self.first(x)
            return self.last(h if x.sum() > 0 else -h)

    model = Deciding()
    assert split(model, model, torch.randn(3, 4), "first") is None


def test_what_differs_from_pass_to_pass_has_no_cut():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            h = self.first(x)
            return self.last(h + torch.rand(h.shape))

    model = Noisy()
    assert split(model, model, torch.randn(3, 4), "first") is None


def test_the_module_is_as_it_was_after_an_error():
    model = small_networks.staged()
    record = split(model, model, noise(3, 32), "early")
    with pytest.raises(RuntimeError), Resumption(model, record) as resumed:
        resumed(model, torch.zeros(2, 99, 3, 3))
    assert not any("forward" in vars(module) for module in model.modules())
    batch = noise(2, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(batch), small_networks.staged()(batch))


def test_trying_a_cut_leaves_no_hooks_and_no_patches():
    for model, boundary in (
        (small_networks.staged(), "early"),
        (small_networks.ByPassed(), "middle"),
    ):
        state = copy.deepcopy(model.state_dict())
        split(model, model, noise(3, 32), boundary)
        find_upstream(model, model, noise(3, 32), boundary)
        for module in model.modules():
            assert "forward" not in vars(module)
            assert not module._forward_hooks
            assert not module._forward_pre_hooks
        assert all(torch.equal(state[name], t) for name, t in model.state_dict().items())
        assert all(p.grad is None for p in model.parameters())


def test_a_cut_at_a_boundary_that_is_patched_already_is_refused():
    model = small_networks.staged()
    record = split(model, model, noise(3, 32), "early")
    with (
        Resumption(model, record),
        pytest.raises(ValueError, match="has a forward of its own"),
        Resumption(model, record),
    ):
        pass


def test_a_refused_cut_leaves_no_patches_and_no_lock():
    model = small_networks.staged()
    record = split(model, model, noise(3, 32), "early")
    passed = model.get_submodule(record.passed[0][0])
    passed.forward = passed.forward
    resumption = Resumption(model, record)
    with pytest.raises(ValueError, match="has a forward of its own"), resumption:
        pass
    assert [m for m in model.modules() if "forward" in vars(m)] == [passed]
    thread = threading.Thread(target=_resume, args=(model, record), daemon=True)
    del passed.forward
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def _resume(model, record):
    with Resumption(model, record):
        pass


def test_upstream_is_what_the_boundary_depends_on():
    model = small_networks.staged()
    found = find_upstream(model, model, noise(2, 32), "early")
    names = {
        name for name, _ in model.named_parameters() if name.startswith(("stem", "early"))
    }
    assert found.parameters == names
    assert {"stem", "early", "early.norm", "early.drop"} <= found.modules
    assert not {"late", "late.norm", "head"} & found.modules


def test_parameters_outside_of_modules_are_upstream():
    model = small_networks.Tokens()
    found = find_upstream(model, model, noise(2, 32), "block").parameters
    assert found == {"cls_token", "registers", "patches.weight", "patches.bias"}
    assert find_upstream(model, model, noise(2, 32), "patches").parameters == {
        "patches.weight",
        "patches.bias",
    }


def test_tokens_and_positions_of_a_transformer_are_upstream():
    model = built("test_vit", 32)
    found = find_upstream(model, model, noise(2, 32), "blocks.0").parameters
    assert {"cls_token", "pos_embed"} <= found
    assert not any(name.startswith(("blocks.1", "norm", "head")) for name in found)


def test_upstream_works_where_gradients_are_off():
    model = small_networks.staged()
    with torch.no_grad():
        found = find_upstream(model, model, noise(2, 32), "stem")
    assert found.parameters == {"stem.weight", "stem.bias"}


def test_parameters_that_take_no_gradient_are_not_upstream():
    model = small_networks.staged()
    model.stem.bias.requires_grad_(False)
    found = find_upstream(model, model, noise(2, 32), "stem")
    assert found.parameters == {"stem.weight"}
    model.requires_grad_(False)
    assert find_upstream(model, model, noise(2, 32), "stem").parameters == set()


@pytest.mark.parametrize(("name", "times"), [("act", "runs 2 times"), ("unused", "is never")])
def test_a_module_that_does_not_run_once_is_refused(name, times):
    model = small_networks.Shared()
    for function in (split, find_upstream):
        with pytest.raises(ValueError, match=f"{name}.*{times}"):
            function(model, model, noise(3, 32), name)


def test_a_network_can_be_pickled_while_it_is_cut_and_after():
    model = small_networks.staged()
    record = split(model, model, noise(3, 32), "early")
    batch = noise(2, 32)
    with torch.no_grad():
        expected = model(batch)
        with Resumption(model, record):
            pass
        torch.testing.assert_close(pickle.loads(pickle.dumps(model))(batch), expected)
    assert pickle.loads(pickle.dumps(record)) == record
    assert isinstance(record, Split)


def test_two_threads_take_turns():
    model = small_networks.staged()
    record = split(model, model, noise(3, 32), "early")
    batches = [noise(3, 32, seed) for seed in range(4)]
    with torch.no_grad():
        activations = [model.early(model.stem(batch)) for batch in batches]
        expected = [model(batch) for batch in batches]
    found = [None] * 4

    def work(i):
        for _ in range(10):
            with torch.no_grad(), Resumption(model, record) as resumed:
                found[i] = resumed(model, activations[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.slow
def test_nasnet_has_no_cut_in_its_middle():
    model = create_model("nasnetalarge").eval()
    assert split(model, model, noise(3, 96), "cell_8") is None
