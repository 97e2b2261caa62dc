"""Rules of our style that a program can check, over the whole package."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import exemptions

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sklearn_transfer"
MODULES = sorted(PACKAGE.rglob("*.py"))
TREES = {str(p.relative_to(PACKAGE)): ast.parse(p.read_text()) for p in MODULES}
STAGES = sorted(p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name[0] not in "_.")
STAGES += ["datasets"]


def assert_only_exempt(faults, exempt):
    """No faults but in exempt files, each of which has one still."""
    new = {name: found for name, found in faults.items() if found and name not in exempt}
    assert new == {}
    mended = sorted(name for name in exempt if not faults.get(name))
    assert mended == [], "these keep the rule, or are gone: take them off tests/exemptions.py"


def test_exempt_files_are_told_from_others():
    assert_only_exempt({"a.py": ["a fault"], "b.py": []}, {"a.py"})
    with pytest.raises(AssertionError):
        assert_only_exempt({"a.py": ["a fault"]}, set())
    with pytest.raises(AssertionError, match="take them off"):
        assert_only_exempt({"a.py": []}, {"a.py"})


# Messages


def text_of(node):
    """Text of a message with {} for what is put in, or None where it is no literal."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            "{suggestion}"
            if isinstance(part, ast.FormattedValue) and "suggest_near" in ast.unparse(part)
            else "{}"
            if isinstance(part, ast.FormattedValue)
            else part.value
            for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = text_of(node.left), text_of(node.right)
        if left is None:
            return None
        if right is None:
            right = "{suggestion}" if "suggest_near" in ast.unparse(node.right) else "{}"
        return left + right
    return None


# Errors whose text is the reason alone, which follows the name of the sample.
REASONS = {"BadSampleError", "BadFileError"}


def messages_of(tree):
    """Line and text of each error and warning whose text is a literal."""
    for node in ast.walk(tree):
        call = node.exc if isinstance(node, ast.Raise) else node
        if not isinstance(call, ast.Call) or not call.args:
            continue
        if ast.unparse(call.func) in REASONS:
            continue
        if isinstance(node, ast.Raise) or ast.unparse(call.func) == "warnings.warn":
            text = text_of(call.args[0])
            if text is not None:
                yield node.lineno, text


def parameters_of_package():
    """Names of all parameters, which may begin a message in small letters."""
    arguments = (
        argument.arg
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.arguments)
        for argument in [*node.posonlyargs, *node.args, *node.kwonlyargs]
    )
    return set(arguments)


PARAMETERS = parameters_of_package()
SENTENCE_END = re.compile(r"[.?!]['\"]?\s+(?=[A-Z{`'\"(])")


def fault_of_message(text):
    """What is wrong with the form of a message, or None."""
    text, suggestion, _ = text.partition("{suggestion}")
    first = re.match(r"\w*", text)[0]
    is_code = not text[:1].isalpha() or first in PARAMETERS or "_" in first
    if not (is_code or text[:1].isupper()):
        return "begins with neither a capital letter nor a parameter"
    if text != text.strip() or "  " in text:
        return "has spaces at an end, or two in a row"
    if text.endswith(("!", ";", ":", ",")):
        return "ends with a mark of punctuation that nothing follows"
    n_sentences = 1 + len(SENTENCE_END.findall(text))
    ends = text.endswith(".") and not text.endswith("...")
    if n_sentences > 1 or suggestion:
        return None if text.endswith((".", "?", "{}")) else "needs a period at the end"
    return "is one sentence and needs no period at its end" if ends else None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("X has 3 rows: give at least 5", None),
        ("{} is unknown. Give another one.", None),
        ("Every row is empty", None),
        ("layers={} is unknown", None),
        ("got nothing", "begins with neither"),
        ("X has 3 rows: give at least 5.", "needs no period"),
        ("X has 3 rows. Give more", "needs a period"),
        ("X has 3 rows: ", "spaces"),
        ("X has 3 rows:", "punctuation"),
    ],
)
def test_faults_of_messages_are_seen(text, fault):
    found = fault_of_message(text)
    assert found is None if fault is None else fault in found


def test_messages_have_one_form():
    faults = {
        name: [
            (line, text, fault)
            for line, text in messages_of(tree)
            if (fault := fault_of_message(text))
        ]
        for name, tree in TREES.items()
    }
    assert_only_exempt(faults, exemptions.MESSAGES)


# Docstrings


def public_things():
    """Name and object of what stages list as public."""
    for stage in STAGES:
        module = importlib.import_module(f"sklearn_transfer.{stage}")
        for name in module.__all__:
            yield name, getattr(module, name)


def public_members(owner):
    """Name and function of each public method, and of properties, written in this package."""
    for name, member in inspect.getmembers(owner):
        if name.startswith("_"):
            continue
        static = inspect.getattr_static(owner, name)
        function = static.fget if isinstance(static, property) else member
        function = inspect.unwrap(getattr(function, "__func__", function))
        if inspect.isfunction(function) and function.__module__.startswith("sklearn_transfer"):
            yield name, function, isinstance(static, property)


def file_of(thing):
    return str(Path(inspect.getsourcefile(inspect.unwrap(thing))).relative_to(PACKAGE))


def section(doc, title):
    """Lines of a section of a docstring, or None."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", doc, re.M | re.S)
    return None if found is None else found[1].splitlines()


def documented_names(lines):
    """Names that a section of parameters describes, with a type each."""
    heads = [line for line in lines or [] if re.match(r"[*\w]", line)]
    names = [head.partition(" : ")[0] for head in heads]
    return [name.strip().lstrip("*") for group in names for name in group.split(",")], heads


def returns_something(function):
    source = inspect.cleandoc("\n" + inspect.getsource(inspect.unwrap(function)))
    (tree,) = ast.parse(source).body
    return any(
        isinstance(node, (ast.Yield, ast.YieldFrom))
        or (isinstance(node, ast.Return) and node.value is not None)
        for node in ast.walk(tree)
    )


def faults_of_parameters(doc, parameters):
    expected = [p.name for p in parameters if p.name not in ("self", "cls")]
    names, heads = documented_names(section(doc, "Parameters"))
    if names != expected:
        yield f"documents the parameters {names}, and has {expected}"
    yield from (f"gives no type of {head}" for head in heads if " : " not in head)


def faults_of_summary(doc):
    first = doc.splitlines()[0] if doc else ""
    if not first:
        yield "has no docstring"
    elif not (first[0].isupper() or first[0] == "`") or not first.endswith("."):
        yield f"summary is no sentence on one line: {first}"


def faults_of_function(function, is_property=False):
    doc = inspect.getdoc(function) or ""
    yield from faults_of_summary(doc)
    if is_property:
        return
    parameters = inspect.signature(function).parameters.values()
    yield from faults_of_parameters(doc, parameters)
    if returns_something(function) and section(doc, "Returns") is None:
        yield "has no section Returns"


def faults_of_public(thing):
    """What is missing in the docstring of a public class or function."""
    doc = inspect.getdoc(thing) or ""
    sections = ["See Also", "Examples"]
    if inspect.isclass(thing):
        yield from faults_of_summary(doc)
        yield from faults_of_parameters(doc, inspect.signature(thing).parameters.values())
        sections += ["Attributes"] if hasattr(thing, "fit") or hasattr(thing, "plot") else []
    else:
        yield from faults_of_function(thing)
    yield from (f"has no section {title}" for title in sections if section(doc, title) is None)


def ill_documented(a, b):
    """does something

    Parameters
    ----------
    a
        The first.
    """
    return a


def well_documented(a, *, b=None):
    """Add two numbers.

    Parameters
    ----------
    a, b : float
        The numbers.

    Returns
    -------
    total : float
        Their sum.
    """
    return a + b


def test_faults_of_docstrings_are_seen():
    found = "; ".join(faults_of_function(ill_documented))
    for fault in [
        "no sentence",
        "documents the parameters ['a']",
        "no type",
        "no section Returns",
    ]:
        assert fault in found
    assert list(faults_of_function(well_documented)) == []
    assert "has no section Examples" in list(faults_of_public(well_documented))


def test_docstrings_of_public_things_are_complete():
    faults = {}
    for name, thing in public_things():
        faults.setdefault(file_of(thing), []).extend(
            f"{name} {fault}" for fault in faults_of_public(thing)
        )
        if not inspect.isclass(thing):
            continue
        for member, function, is_property in public_members(thing):
            found = [f"{name}.{member} {f}" for f in faults_of_function(function, is_property)]
            faults.setdefault(file_of(function), []).extend(found)
    assert_only_exempt(faults, exemptions.DOCSTRINGS)


# Words

BRITISH = re.compile(
    r"colour|centre|centring|neighbour|labell|behaviour|favour|licence|learnt|grey|"
    r"(?:normal|standard|regular|minim|maxim|general|recogn|initial|optim|penal|organ)is(?:e|ing|ation)",
    re.I,
)
_COUNT = "one|two|three|several|few|many"
_UNIT = (
    "sample|row|class|image|epoch|feature|network|fold|candidate|column|output|target|layer"
)
# "one row a sample" for "one row per sample", and other phrases that nobody would say.
PHRASES = re.compile(
    rf"\b(?:{_COUNT}) \w+ an? (?:{_UNIT})\b|is not to be had|take turns by chance"
    r"|minds the scale|of no matter|of the own number|walk one way|more is better"
    r"|look like nothing",
    re.I,
)
RIDDLES = ("What ", "How ", "Where ", "Whether ", "Which ")
# Names of the past, which are still accepted.
FORMER = re.compile(r'"grey"|"recoloured"')


def test_words_are_plain_and_american():
    faults = {}
    for name, tree in TREES.items():
        text = FORMER.sub("", (PACKAGE / name).read_text())
        found = [m[0] for m in BRITISH.finditer(text)]
        found += [m[0] for m in PHRASES.finditer(" ".join(text.split()))]
        first = ast.get_docstring(tree).splitlines()[0]
        faults[name] = found + ([first] if first.startswith(RIDDLES) else [])
    assert_only_exempt(faults, exemptions.WORDS)


# Pages and programs outside the package.
PAGES = sorted([*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"])
PROGRAMS = sorted(
    path for folder in ("examples", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)
# Further phrases that are not idiomatic, beside those in `PHRASES`.
MORE_PHRASES = re.compile(
    r"\b(?:as ever|minds|comes to the same|has a say|at hand|(?:its|their) like)\b",
    re.I,
)
# First words of functions in examples and benchmarks, beside those in `FIRST_WORDS`.
VERBS_OF_PROGRAMS = {"bend", "main", "print", "serve", "stretch", "time"}


def find_bad_words(text):
    """Return British spellings and unidiomatic phrases in a text."""
    # A phrase may continue on the next line of a comment, after the comment mark.
    joined = " ".join(re.sub(r"^\s*#", "", text, flags=re.M).split())
    patterns = (BRITISH, PHRASES, MORE_PHRASES)
    return [match[0] for pattern in patterns for match in pattern.finditer(joined)]


@pytest.mark.parametrize(
    "text",
    ["A grey image", "gets a score,\n# one row a sample", "weights work as\never", "labelled"],
)
def test_bad_words_are_found(text):
    assert find_bad_words(text)


@pytest.mark.parametrize("path", [*PAGES, *PROGRAMS], ids=lambda path: str(path.name))
def test_words_outside_the_package_are_plain_and_american(path):
    assert find_bad_words(FORMER.sub("", path.read_text())) == []


def test_summaries_of_programs_are_statements_or_questions():
    for path in PROGRAMS:
        lines = ast.get_docstring(ast.parse(path.read_text())).splitlines()
        assert lines[0].endswith((".", "?")) or lines[1].startswith("==="), path


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.name))
def test_functions_of_programs_begin_with_a_verb(path):
    for name in functions_of(ast.parse(path.read_text())):
        first_word = name.lstrip("_").partition("_")[0]
        assert begins_with_a_verb(name) or first_word in VERBS_OF_PROGRAMS, name


# Names of functions

VERBS = """
accept add advance align allocate answer append apply approximate ask assemble assert attach
average balance become begin blur build calibrate call cast center check choose claim clear
clip close collect combine compare compile compose compute confirm connect convert copy
corrupt count create crop cross cut darken decide decode decompose delete derive describe
design detach digest direct discard disconnect dismantle divide download drain draw drop embed
encode end enter estimate evict expand explain export extract feed fetch fill find finish fit
flush fold forget format forward freeze gather generate get give group grow guard halve hash
hide hold hook identify import improve infer initialize insert invert iterate join keep label
learn leave let limit list load locate lock log look lookup make map mark mask match measure
merge minimize mix move multiply name normalize note notify observe offer open order orient
pack pad parse partial pick place plan plot pool precompute predict prepare probe process
project publish pull push put raise rank rate read rebuild reconstruct record reduce refresh
refuse register release relight remember remove renew replace report request require resample
reset resize resolve restore resume return reuse rotate run sample save scale score search
select send separate set settle shape share shift shorten show shrink shuffle skip solve sort
split spread standardize start step stop store stratify submit subtract suggest sum take test
tighten touch train transform translate trim try turn unguard unpack unwrap update use
validate view visit wait walk warn weigh weight widen withdraw wrap write
"""
# Predicates, which answer yes or no, and conversions: from_estimator, to_dict.
PREDICATES = """
accepts agrees are asks belongs can contains covers describes does exists fits has holds
is keeps matches may needs normalizes owns reads requires returns routes says shall
supports takes uses was
"""
CONVERSIONS = {"from", "to", "as"}
FIRST_WORDS = {*VERBS.split(), *PREDICATES.split(), *CONVERSIONS}
# What scikit-learn, Jupyter, torch, pickle and skorch call by these names, and the members of
# our own interfaces that are nouns.
PROTOCOL = {
    "column_or_1d",  # as in scikit-learn
    "shutdown",
    "cache_info",
    "_backward",
    "_sk_visual_block_",
    "inverse_transform",
    "known_digest",
    "loss",
    "on_batch_end",
    "on_epoch_end",
    "on_train_begin",
    "parameters",
    "persistent_id",
    "persistent_load",
    "reducer_override",
    "validation_step",
    "decision_function",
    "_repr_html_",
    "_repr_mimebundle_",
    "backward",
    "generalized_score",
    # Members of declared interfaces, which name what they give: `Reader`, `Spec`,
    # `PayloadFormat` and `Store`.
    "collate",
    "example",
    "reader",
    "input_shape",
    "info",
}
NOUNS_BY_DECORATOR = ("property", "contextmanager", "cached_property", "setter")


def begins_with_a_verb(name):
    word = name.lstrip("_").partition("_")[0]
    return word in FIRST_WORDS


def functions_of(tree):
    """Functions and methods that are to begin with a verb."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        decorators = [ast.unparse(d).rpartition(".")[2] for d in node.decorator_list]
        dunder = node.name.startswith("__") and node.name.endswith("__")
        if not dunder and not any(d in NOUNS_BY_DECORATOR for d in decorators):
            yield node.name


@pytest.mark.parametrize("name", ["_checked", "weights_of", "__places", "default_scoring"])
def test_names_without_a_verb_are_seen(name):
    assert not begins_with_a_verb(name)


def test_functions_begin_with_a_verb():
    public = {name for name, _ in public_things()}
    faults = {
        name: [
            function
            for function in functions_of(tree)
            if function not in public | PROTOCOL and not begins_with_a_verb(function)
        ]
        for name, tree in TREES.items()
    }
    assert_only_exempt(faults, exemptions.VERBS)


# Sizes of classes

MOST_LINES, MOST_ATTRIBUTES = 250, 20


def code_lines(tree, source):
    """Numbers of lines with code, which blank ones, comments and docstrings are not."""
    documented = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            documented.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(source.splitlines(), 1)
    return {i for i, line in lines if line.strip() and line.strip()[0] != "#"} - documented


def attributes_of(node):
    """Attributes that methods set on self, beside those named as parameters of __init__."""
    functions = [f for f in ast.walk(node) if isinstance(f, ast.FunctionDef)]
    starts = [f for f in functions if f.name == "__init__"]
    arguments = {a.arg for f in starts for a in [*f.args.args, *f.args.kwonlyargs]}
    targets = {
        n.attr
        for n in ast.walk(node)
        if isinstance(n, ast.Attribute)
        and isinstance(n.ctx, ast.Store)
        and isinstance(n.value, ast.Name)
        and n.value.id == "self"
    }
    return targets - arguments


def test_classes_stay_small():
    faults = {}
    for name, tree in TREES.items():
        lines = code_lines(tree, (PACKAGE / name).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                n_lines = len(lines & set(range(node.lineno, node.end_lineno + 1)))
                n_attributes = len(attributes_of(node))
                if n_lines > MOST_LINES or n_attributes > MOST_ATTRIBUTES:
                    faults.setdefault(name, []).append((node.name, n_lines, n_attributes))
    assert_only_exempt(faults, exemptions.CLASSES)


def test_code_lines_and_attributes_are_counted():
    lines = ["class A:", "    'Doc.'", "", "    def __init__(self, a):", "        # why"]
    source = "\n".join([*lines, "        self.a, self.b = a, 1"])
    tree = ast.parse(source)
    assert code_lines(tree, source) == {1, 4, 6}
    assert attributes_of(tree.body[0]) == {"b"}


# The map


def test_contributing_names_every_stage_and_files_that_exist():
    """The table of stages in CONTRIBUTING.md has a row for each folder, in any order."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rows = re.findall(r"^\| `(\w+)/` \|.*\|(.*)\|$", text, re.MULTILINE)
    folders = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    assert {stage for stage, _ in rows} == folders
    for stage, start in rows:
        for name in re.findall(r"`([\w/]+\.py)`", start):
            assert (PACKAGE / stage / name).exists(), f"{stage}/{name}"


def test_map_lists_every_module():
    printed = subprocess.run(
        [sys.executable, ROOT / "docs" / "module_map.py"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    listed = re.findall(r"^    (\w+\.py): \S", printed, re.MULTILINE)
    assert sorted(listed) == sorted(p.name for p in MODULES if p.name != "__init__.py")


# Contracts


def test_contract_checks_never_pass_silently():
    """A check that does not apply skips, so that its report says so."""
    trees = [
        tree
        for name, tree in TREES.items()
        if name.startswith("testing/") and name != "testing/_checks.py"  # which runs them
    ]
    names = {
        node.name
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")
    }
    assert len(names) > 60
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("check_"):
                silent = [n for n in ast.walk(node) if isinstance(n, ast.Return)]
                assert silent == [], node.name


def find_error_filters(tree):
    """Lines that make every warning an error, and so drop the exceptions of pyproject.toml."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("simplefilter")
        and [ast.unparse(arg) for arg in node.args] == ["'error'"]
    ]


def test_error_filters_are_seen():
    assert find_error_filters(ast.parse('import warnings\nsimplefilter("error")')) == [2]
    assert find_error_filters(ast.parse('simplefilter("error", UserWarning)')) == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_warnings_are_errors_by_one_list_alone(path):
    assert find_error_filters(ast.parse(path.read_text())) == []


def find_bare_links(text):
    """Names that end with an underscore, which reStructuredText takes for links, in shapes."""
    shapes = re.findall(r"shape (\([^)]*\))", text)
    return [name for shape in shapes for name in re.findall(r"(?<![`\w])\w+_(?![`\w])", shape)]


def test_bare_links_are_seen():
    assert find_bare_links("ndarray of shape (n_samples, n_components_)") == ["n_components_"]
    assert find_bare_links("ndarray of shape (n_samples, `n_components_`)") == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_shapes_hold_no_links(path):
    assert find_bare_links(path.read_text()) == []
