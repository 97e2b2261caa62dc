"""Splits of networks of texts, whose rest is called with the tokens."""

import pytest
import torch
import transformers

from sklearn_transfer._networks.text import TextNetwork
from sklearn_transfer._networks.text_splits import ACTIVATION, split_text
from tests.small_texts import make_bert

SIZES = {
    "vocab_size": 11,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
    "intermediate_size": 24,
    "pad_token_id": 0,
    "max_position_embeddings": 40,
}
DECODER = {**SIZES, "num_key_value_heads": 2, "head_dim": 8}
T5_SIZES = {"vocab_size": 11, "d_model": 16, "d_kv": 8, "num_heads": 2, "num_layers": 3}
TOKENS = {**SIZES, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}


def build(name):
    torch.manual_seed(0)
    if name == "own":
        return make_bert()
    if name == "T5":
        return transformers.T5EncoderModel(transformers.T5Config(**T5_SIZES, d_ff=24)).eval()
    sizes = {"Qwen3": DECODER, "ModernBert": TOKENS}.get(name, SIZES)
    config = getattr(transformers, f"{name}Config")(**sizes)
    return transformers.AutoModel.from_config(config).eval()


def make_tokens(n, length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 11, (n, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[1:, length - length // 4 :] = 0
    return {"attention_mask": mask, "input_ids": ids * mask}


def list_boundary(network):
    names = [name for name, _ in network.named_modules()]
    return next(name for name in names if name.endswith((".layer.1", "layers.1", "block.1")))


# Layers that share what something before the split has made of the positions, too.
@pytest.mark.parametrize(
    "name", ["own", "Bert", "Roberta", "MPNet", "DebertaV2", "ModernBert", "Qwen3"]
)
def test_the_rest_continues_what_the_whole_would_give(name):
    module = TextNetwork(build(name), "avg")
    boundary = list_boundary(module)

    def run(inputs):
        return module(**inputs)

    record = split_text(module, run, make_tokens(3, 12), boundary)
    batch, found = make_tokens(5, 19, seed=1), []
    handle = module.get_submodule(boundary).register_forward_hook(
        lambda module, args, output: found.append(output)
    )
    with torch.no_grad():
        expected = module(**batch)
        handle.remove()
        activation = found[0][0] if isinstance(found[0], tuple) else found[0]
        with record.resume(module) as resumed:
            rest = resumed(run, {**batch, ACTIVATION: activation})
    torch.testing.assert_close(rest, expected, rtol=1e-4, atol=1e-5)


def test_layers_before_the_split_do_no_work():
    module = TextNetwork(build("own"), "avg")
    record = split_text(
        module, lambda inputs: module(**inputs), make_tokens(3, 12), list_boundary(module)
    )
    passed = [name for name, _ in record.passed]
    assert passed == ["network.embeddings", "network.encoder.layer.0"]


def test_a_network_that_hands_on_more_than_states_is_not_split():
    module = TextNetwork(build("T5"), "avg")
    boundary = list_boundary(module)
    batch = make_tokens(3, 12)
    assert split_text(module, lambda inputs: module(**inputs), batch, boundary) is None
