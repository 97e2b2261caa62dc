"""Tests of the package's layout: the direction of imports, and modules without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sklearn_transfer"

# For each stage, which is a folder or file of the package, the stages it may import.
_BELOW = {"_callbacks", "_documentation", "_validation", "_kernels", "_process"}
_NETWORKS = _BELOW | {"_store", "_modalities", "_networks"}
ALLOWED = {
    "_callbacks": set(),
    "_documentation": set(),
    "_tables": set(),
    "_validation": {"_tables"},
    "_kernels": set(),
    "_process": set(),
    "_sample_weight": set(),
    "_sampling": set(),
    "_html": set(),
    "_public": set(),
    "_strays": {"_kernels"},
    "_versions": {"_networks"},
    "datasets": {"_sampling", "_validation"},
    "_store": {"_validation", "_process"},
    "_modalities": {"_validation", "_process", "_store"},
    "_networks": {"_validation", "_process", "_store", "_modalities"},
    "extraction": _NETWORKS - {"_kernels"} | {"_public"},
    "weighting": _BELOW | {"_public", "_tables", "_sample_weight", "_sampling", "_strays"},
    "alignment": _BELOW | {"_public", "_strays"},
    "heads": _BELOW - {"_kernels"} | {"_public", "_sample_weight"},
    "columns": {
        "_callbacks",
        "_documentation",
        "_public",
        "_validation",
        "_modalities",
        "extraction",
    },
    "finetuning": _NETWORKS - {"_kernels"}
    | {"_public", "_sample_weight", "_html", "extraction"},
    "selection": _NETWORKS - {"_callbacks", "_documentation", "_store"}
    | {"_public", "_tables", "_sample_weight", "_sampling", "_html"}
    | {"extraction", "weighting", "alignment", "finetuning", "plotting"},
    "plotting": {"_sample_weight", "_sampling", "_validation", "_modalities"},
    "export": {"_public", "_validation", "_modalities"},
    # Every public stage, and nothing imports it.
    "testing": {"_validation", "datasets", "weighting", "alignment"},
}
MOST_LEVELS = {"extraction": 6, "finetuning": 9}  # and 8 elsewhere
MODULES = sorted(
    p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" or p.parent != PACKAGE
)


def stage_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def loaded_after(statement):
    """Return the names of all modules loaded by a statement in a new process."""
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return set(run.stdout.split())


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    stage = stage_of(path)
    for name in imported_modules(ast.parse(path.read_text())):
        if name.startswith("sklearn_transfer."):
            other = name.split(".")[1]
            assert other in ALLOWED[stage] | {stage}, f"{stage} imports {name}"


def test_every_permission_is_used():
    used = {stage: set() for stage in ALLOWED}
    for path in MODULES:
        for name in imported_modules(ast.parse(path.read_text())):
            if name.startswith("sklearn_transfer."):
                used[stage_of(path)].add(name.split(".")[1])
    assert {s: allowed - used[s] for s, allowed in ALLOWED.items() if allowed - used[s]} == {}


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def test_stages_have_few_levels():
    """Modules of a stage import each other in chains that a reader can follow."""
    names = {name_of(path): path for path in MODULES}
    imports = {
        name: {
            other
            for module in imported_modules(ast.parse(path.read_text()))
            for other in (module, module.rpartition(".")[0])
            if other in names and other != name and stage_of(names[other]) == stage_of(path)
        }
        for name, path in names.items()
        if path.name != "__init__.py"
    }
    levels = {}

    def level_of(name, above=()):
        assert name not in above, f"imports go round: {above}"
        if name not in levels:
            below = [level_of(other, (*above, name)) for other in imports.get(name, ())]
            levels[name] = 1 + max(below, default=0)
        return levels[name]

    depths = {}
    for name in imports:
        stage = stage_of(names[name])
        depths[stage] = max(depths.get(stage, 0), level_of(name))
    assert {s: depth for s, depth in depths.items() if depth > MOST_LEVELS.get(s, 8)} == {}


def test_folders_of_fine_tuning_import_one_way():
    order = ["targets", "objectives", "freezing", "loop"]
    for path in (PACKAGE / "finetuning").glob("*/*.py"):
        below = order[: order.index(path.parent.name) + 1]
        for name in imported_modules(ast.parse(path.read_text())):
            if name.startswith("sklearn_transfer.finetuning."):
                other = name.split(".")[2]
                assert other in below or other in (
                    "_fusion",
                    "_inputs",
                    "_network",
                    "_ragged",
                ), f"{path} has {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_stay_under_500_lines(path):
    assert len(path.read_text().splitlines()) <= 500


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_bodies_stay_under_60_lines(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            documented = ast.get_docstring(node) is not None
            body = node.body[1:] if documented else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert length <= 60, node.name


def test_importing_the_root_loads_no_network_library():
    loaded = loaded_after("import sklearn_transfer")
    assert not loaded & {"torch", "timm", "torchvision", "sklearn", "numpy", "PIL"}


def test_constructing_an_extractor_loads_no_network_library():
    statement = (
        "from sklearn_transfer import ConSE, PretrainedFeatures\n"
        "from sklearn.base import clone\n"
        "repr(clone(ConSE(PretrainedFeatures(layers='deep'))))"
    )
    assert not loaded_after(statement) & {"torch", "timm", "torchvision"}


def test_constructing_a_fine_tuner_loads_no_network_library():
    statement = (
        "from sklearn_transfer import AutoencoderFeatures, FineTunedClassifier\n"
        "from sklearn_transfer import FineTunedRegressor\n"
        "from sklearn.base import clone\n"
        "for estimator in (FineTunedClassifier(freeze='deep'), FineTunedRegressor(),\n"
        "                  AutoencoderFeatures()):\n"
        "    repr(clone(estimator)), estimator.__sklearn_tags__(), estimator._repr_html_()"
    )
    loaded = loaded_after(statement)
    assert not loaded & {"torch", "timm", "torchvision", "skorch", "peft", "accelerate"}


def test_weighting_loads_no_network_library():
    statement = (
        "from sklearn_transfer import KMM, TargetDomain\n"
        "KMM(B=5).fit([[0.0], [1.0], [2.0]], X_target=TargetDomain([[1.0], [1.5]]))"
    )
    assert not loaded_after(statement) & {"torch", "timm", "torchvision"}


def test_every_weighter_loads_no_network_library():
    statement = (
        "from sklearn_transfer import weighting\n"
        "X, y, T = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1], [[1.0], [1.5], [3.0]]\n"
        "for name in ('KLIEP', 'ULSIF', 'DomainClassifierWeights', 'LabelShiftWeights',\n"
        "             'NearestNeighborWeights'):\n"
        "    getattr(weighting, name)().fit(X, y, X_target=T)"
    )
    assert not loaded_after(statement) & {"torch", "timm", "torchvision"}


def test_alignment_loads_no_network_library():
    statement = (
        "from sklearn_transfer import CORAL, OptimalTransport, SubspaceAlignment\n"
        "from sklearn_transfer import TargetDomain, TransferComponentAnalysis\n"
        "for aligner in [CORAL(), SubspaceAlignment(), TransferComponentAnalysis()]:\n"
        "    aligner.fit_transform([[0.0], [1.0]], X_target=TargetDomain([[1.0], [3.0]]))\n"
        "repr(OptimalTransport())"
    )
    assert not loaded_after(statement) & {"torch", "timm", "torchvision", "ot"}


def test_heads_load_no_network_library():
    statement = (
        "from sklearn_transfer import PrototypeClassifier, ZeroShotClassifier, episodes\n"
        "X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]\n"
        "PrototypeClassifier().fit(X, y).predict_proba(X)\n"
        "ZeroShotClassifier().fit(X, y, attributes={0: [1], 1: [0]}).predict_proba(X)\n"
        "episodes(X, y, n_way=2, n_query=1, n_episodes=2)"
    )
    assert not loaded_after(statement) & {"torch", "timm", "torchvision"}


def test_selection_loads_no_network_library():
    statement = (
        "from sklearn_transfer import shift_report\n"
        "str(shift_report([[0.0], [1.0], [2.0]], [[1.0], [1.5]], n_permutations=39))"
    )
    assert not loaded_after(statement) & {"torch", "timm", "torchvision", "matplotlib"}


def test_scorers_without_labels_load_no_network_library():
    statement = (
        "from sklearn.linear_model import LogisticRegression\n"
        "from sklearn_transfer import selection\n"
        "X, y, T = [[float(k)] for k in range(12)], [0, 1] * 6, [[1.0], [1.5], [3.0]]\n"
        "model = LogisticRegression().fit(X, y)\n"
        "for name in ('ATCScorer', 'BNMScorer', 'InfoMaxScorer', 'ReverseValidationScorer'):\n"
        "    getattr(selection, name)(X_target=T)(model, X, y)"
    )
    assert not loaded_after(statement) & {"torch", "timm", "torchvision", "matplotlib"}


def test_scores_load_no_network_library():
    statement = (
        "from sklearn_transfer.selection import gbc, h_score, leep, logme, nce\n"
        "X, y = [[0.1, 0.9], [0.2, 0.8], [0.7, 0.3], [0.9, 0.1]], [0, 0, 1, 1]\n"
        "for score in (gbc, h_score, leep, logme):\n"
        "    score(X, y)\n"
        "nce(y, y)"
    )
    assert not loaded_after(statement) & {"torch", "timm", "torchvision"}


def test_negative_transfer_of_tables_loads_no_network_library():
    statement = (
        "from sklearn.linear_model import LinearRegression, Ridge\n"
        "from sklearn_transfer import negative_transfer_test\n"
        "X, y = [[float(k)] for k in range(10)], [float(k % 3) for k in range(10)]\n"
        "str(negative_transfer_test(LinearRegression(), Ridge(), X, y))"
    )
    assert not loaded_after(statement) & {"torch", "timm", "torchvision", "PIL"}


def test_tables_of_numbers_and_words_load_no_network_library():
    statement = (
        "from sklearn_transfer import MultimodalVectorizer\n"
        "X = [[1.0, 'red'], [2.0, 'blue'], [None, 'red']]\n"
        "vectorizer = MultimodalVectorizer().fit(X)\n"
        "vectorizer.transform(X), vectorizer._repr_html_()\n"
        "repr(vectorizer.set_params(image__layers='deep'))"
    )
    loaded = loaded_after(statement)
    assert not loaded & {"torch", "timm", "torchvision", "skrub"}


def test_naming_the_ranking_of_networks_loads_no_network_library():
    statement = "from sklearn_transfer import rank_backbones"
    assert not loaded_after(statement) & {"torch", "timm", "torchvision", "matplotlib"}


def test_plotting_loads_matplotlib_when_it_draws():
    statement = "from sklearn_transfer.plotting import *"
    assert not loaded_after(statement) & {"torch", "timm", "torchvision", "matplotlib"}


def test_importing_the_contracts_loads_no_network_library():
    statement = "from sklearn_transfer.testing import check_estimator"
    heavy = {"torch", "timm", "torchvision", "skorch", "pytest", "polars"}
    assert not loaded_after(statement) & heavy


def test_loading_photo_crops_loads_no_network_library():
    statement = (
        "from sklearn_transfer.datasets import load_photo_crops\nload_photo_crops(1, size=16)"
    )
    assert not loaded_after(statement) & {"torch", "timm", "torchvision"}


def test_project_speaks_of_itself_only():
    """Tracked files contain no paths of a machine."""
    command = ["git", "ls-files"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if run.returncode != 0:
        pytest.skip("not a git checkout")
    for name in run.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".cfg", ".yml", ".yaml", ".cff"}:
            text = path.read_text()
            assert not any(f"/{word}/" in text for word in ("root", "work")), name
