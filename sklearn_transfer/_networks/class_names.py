"""Texts that describe the classes of a classifier of images."""

import timm.data


def find_class_texts(backbone, n_outputs):
    """Return one text per output of a network, or None where nothing says what they mean.

    A network of timm may name its classes in its configuration. Other networks of timm and of
    torchvision with as many outputs as a version of ImageNet has classes have these classes,
    which timm describes by their synonyms and definition in WordNet.
    """
    config = getattr(backbone.module, "pretrained_cfg", None) or {}
    names = config.get("label_names")
    if names and len(names) == n_outputs:
        described = config.get("label_descriptions") or {}
        return [str(described.get(name, name)) for name in names]
    is_known = "architecture" in config or type(backbone.module).__module__.startswith(
        "torchvision.models."
    )
    subset = timm.data.infer_imagenet_subset({"num_classes": n_outputs}) if is_known else None
    if subset is None:
        return None
    return timm.data.ImageNetInfo(subset).label_descriptions(detailed=True)
