"""Layout: the structure of a network, without its weights."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One depth of a network, which `layers` can name by a word or an index.

    Parameters
    ----------
    name : str
        Name of the module.
    channels : int, default=None
        Number of channels of its output, if it is known.
    reduction : int, default=None
        Pixels of the input along each axis for one position of its output.
    order : {"NCHW", "NHWC", "NCL", "NLC"}, default=None
        Order of the axes of its output, if the module itself states it, or if it is known
        which one is time.
    """

    name: str
    channels: int | None = None
    reduction: int | None = None
    order: str | None = None


@dataclass(frozen=True)
class Place:
    """A point of a forward pass that a hook can see: the input or output of a module."""

    module: str
    side: str = "output"


OUTPUT = Place("")  # the output of the whole network


@dataclass(frozen=True)
class Layout:
    """What is known about the structure of a network.

    Parameters
    ----------
    label : str
        What messages call the network.
    stages : tuple of Stage, default=()
        Its stages, the shallowest first.
    family : {"module", "timm", "wrapper"}, default="module"
        The class in `families` that runs a forward pass.
    pooling : {"avg", "max", "cls", "last"}, default="avg"
        What `pooling="auto"` means: the pooling of the network's own head.
    prefix_tokens : int, default=0
        Tokens that precede those of the patches in a sequence.
    class_token : bool, default=False
        Whether the first of the prefix tokens is a class token.
    channels_last : bool, default=False
        Whether maps inside the network have their channels last.
    has_classifier : bool, default=True
        Whether the network ends in a classifier, whose output are logits.
    embedding, final_map, logits : Place, default=OUTPUT
        Where these are found in a forward pass of the family "module". The family "timm" has
        methods that return them.
    final_relu : bool, default=False
        Whether a ReLU that is no module follows the last map.
    is_text : bool, default=False
        Whether sequences are the tokens of a text, of any number. Then all tokens count in
        averages, and the class token is the first one that is no padding.
    end : int, default=None
        The token of a text behind whose first occurrence nothing counts, as networks that
        were trained on padding with that token have it; -1 is the largest number in a text.
    is_normalized : bool, default=False
        Whether embeddings are meant to be scaled to norm 1.
    is_tower : bool, default=False
        Whether it is one of the two networks of a dual encoder, which have one name.
    is_audio : bool, default=False
        Whether sequences are the frames of a sound, and the last axis of maps is its time.
        Then a mask of frames is brought to the number of positions that an activation has.
    bands : int, default=1
        Of such a sequence: how many bands of frequency it holds, one after the other, with all
        times of each; 1 where a position stands for a time alone.
    convolutions : tuple of (kernel, stride), default=()
        Of sounds that are waveforms: the layers that make few positions of many samples.
    """

    label: str
    stages: tuple = ()
    family: str = "module"
    pooling: str = "avg"
    prefix_tokens: int = 0
    class_token: bool = False
    channels_last: bool = False
    has_classifier: bool = True
    embedding: Place = OUTPUT
    final_map: Place = OUTPUT
    logits: Place = OUTPUT
    final_relu: bool = False
    is_text: bool = False
    end: int | None = None
    is_normalized: bool = False
    is_tower: bool = False
    is_audio: bool = False
    bands: int = 1
    convolutions: tuple = ()


def list_children(module, skip=None):
    """Return top-level children as stages.

    The members stand for a list, which never runs itself, and for a sequence that is the only
    child.
    """
    import torch

    stages = []
    for name, child in module.named_children():
        if isinstance(child, torch.nn.ModuleList):
            stages += [Stage(f"{name}.{inner.name}") for inner in list_children(child)]
        elif name != skip:
            stages.append(Stage(name))
    alone = module.get_submodule(stages[0].name) if len(stages) == 1 else None
    if type(alone) is torch.nn.Sequential and len(alone):
        inner = list_children(alone)
        stages = [Stage(f"{stages[0].name}.{stage.name}") for stage in inner]
    return tuple(stages)
