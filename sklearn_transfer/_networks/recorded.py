"""Recorded networks: what a manifest says about a network stands for the network itself."""

from collections import OrderedDict
from dataclasses import dataclass, field

from sklearn_transfer._networks.backbone import Described
from sklearn_transfer._networks.manifests import Manifest, read_manifest, write_manifest
from sklearn_transfer._networks.questions import are_versions_loaded
from sklearn_transfer._networks.sources import check_again
from sklearn_transfer._process.locks import Lock, RLock

# Recorded networks of this process by question, the least recently used first, and the bytes
# of their engines that are kept.
_known, _known_lock = OrderedDict(), RLock()
_KEPT_BYTES = 2 << 30
# Which manifests are written, by question and folder: of which network and files, and how many
# widths each states.
_written = {}


@dataclass(eq=False)
class RecordedBackbone(Described):
    """A network that is not in memory, of which a manifest says what others ask.

    Parameters
    ----------
    description : Description
        What is known about it.
    module_names : tuple of str
        Names of its modules.
    n_parameters : int
        Number of its parameters.
    files : tuple
        From which files it was built.
    question : str
        Key of the question that it answers.
    device : Device
        The device on which it would run.
    load_network : callable
        Returns its `Backbone`, which takes importing the libraries that build it.
    """

    description: object
    module_names: tuple
    n_parameters: int
    files: tuple
    question: str
    device: object
    load_network: object = field(repr=False)
    widths: dict = field(default_factory=dict, repr=False)
    engines_lock: Lock = field(default_factory=Lock, repr=False)
    engines: OrderedDict = field(default_factory=OrderedDict, repr=False)

    def load(self):
        """Return the backbone itself; raises RuntimeError if it is not what was recorded."""
        backbone = self.load_network()
        recorded = (self.digest, self.weights_sha256, self.layout, self.spec)
        loaded = (backbone.digest, backbone.weights_sha256, backbone.layout, backbone.spec)
        if loaded != recorded:
            forget_recorded()
            raise RuntimeError(
                f"{self.label} has changed while it was in use: its weights or its description"
                " are not those that this call began with; repeat the call to use the new ones"
            )
        for key, width in self.widths.items():
            backbone.widths.setdefault(key, width)
        self.widths = backbone.widths
        if backbone.is_recordable and are_versions_loaded():
            backbone.question = self.question
        with backbone.engines_lock:
            for key, engine in self.engines.items():
                backbone.engines.setdefault(key, engine)
        return backbone


def find_recorded(question, device, shelves, load_network):
    """Return the `RecordedBackbone` for a question, or None if no valid manifest is there."""
    with _known_lock:
        found = _known.get(question)
        if found is None:
            content = shelves.read(name_manifest(question))
            manifest = content and read_manifest(question, content)
            if manifest is None:
                return None
            found = RecordedBackbone(
                manifest.description,
                manifest.module_names,
                manifest.n_parameters,
                manifest.files,
                question,
                device,
                load_network,
                widths=dict(manifest.widths),
            )
            state = _describe_state(found)
            _written.update({(question, s.folder): state for s in shelves})
        files = check_again(found.files)
        if files is None:
            _known.pop(question, None)
            return None
        if files != found.files:  # written anew, so that the next process need not digest
            found.files = files
        _known[question] = found
        _known.move_to_end(question)
        while len(_known) > 1 and _count_bytes() > _KEPT_BYTES:
            _known.popitem(last=False)
    return found


def _count_bytes():
    return sum(
        4 * backbone.n_parameters * engine.n_copies
        for backbone in _known.values()
        for engine in list(backbone.engines.values())
    )


def is_recorded(question):
    """Return whether this process holds the recorded network of a question."""
    return question in _known


def keep_manifest(backbone, shelves):
    """Write what is known about a network to the shelves that do not know it yet."""
    question, files = backbone.question, backbone.files
    if question is None or files is None:
        return
    state = _describe_state(backbone)
    lacking = [s for s in shelves if _written.get((question, s.folder)) != state]
    if not lacking:
        return
    content = write_manifest(
        question,
        Manifest(
            backbone.description,
            tuple(backbone.module_names),
            backbone.n_parameters,
            files,
            dict(backbone.widths),
        ),
    )
    for shelf in lacking:
        _written[question, shelf.folder] = state
        if content is not None:
            shelf.write(name_manifest(question), content)


def _describe_state(backbone):
    """Return what tells whether a manifest of a network is up to date."""
    return (backbone.digest, backbone.files, len(backbone.widths))


def forget_recorded():
    """Forget the recorded networks of this process, and which manifests it has written."""
    with _known_lock:
        _known.clear()
        _written.clear()


def name_manifest(question):
    """Return the name of the file with the manifest for a question."""
    return f"{question}.manifest"
