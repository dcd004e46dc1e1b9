"""From errors to codes: the finality rule over every class there is, which error of several counts, and the page."""

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from grpclib.const import Status
from hypothesis import given
from hypothesis import strategies as st

import rdscsi
from rdscsi import errors
from rdscsi.csi import reference
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.csi.status import CODES, NOT_FINAL, Verdict, code_of, collapse, verdict

PAGE = Path(__file__).parents[2] / "docs" / "error-codes.md"
ENTRY_POINTS = {"rdscsi.cli.__main__"}
"""Importing these runs them."""


def every_class() -> Iterator[type[errors.DriverError]]:
    """Every error class of the package, those outside `rdscsi.errors` too."""
    for module in pkgutil.walk_packages(rdscsi.__path__, "rdscsi."):
        if module.name not in ENTRY_POINTS:
            importlib.import_module(module.name)
    waiting: list[type[errors.DriverError]] = [errors.DriverError]
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting += [one for one in kind.__subclasses__() if one.__module__.startswith("rdscsi.")]


CLASSES = sorted(set(every_class()), key=lambda kind: (kind.__module__, kind.__name__))


def test_the_codes_that_say_maybe_are_those_of_the_sidecars() -> None:
    """`checkError` in external-provisioner's pkg/controller/controller.go."""
    assert {code.name for code in NOT_FINAL} == {"CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "ABORTED"}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_what_is_not_final_says_maybe_and_nothing_else_does(kind: type[errors.DriverError]) -> None:
    if kind is errors.InvalidToken:  # nothing can be half made by listing, and the specification asks for ABORTED
        assert code_of(kind) is Status.ABORTED
    else:
        assert (code_of(kind) in NOT_FINAL) == issubclass(kind, errors.NotFinal)


def test_every_error_of_the_taxonomy_has_a_line_of_its_own_in_the_table() -> None:
    assert {kind for kind in CLASSES if kind.__module__ == errors.__name__} == set(CODES)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InvalidRequest, "INVALID_ARGUMENT"),
        (errors.CapacityOutOfRange, "OUT_OF_RANGE"),
        (errors.NotFound, "NOT_FOUND"),
        (errors.AlreadyExists, "ALREADY_EXISTS"),
        (errors.NotPermittedNow, "FAILED_PRECONDITION"),
        (errors.OutOfSpace, "RESOURCE_EXHAUSTED"),
        (errors.Busy, "ABORTED"),
        (errors.OperationPending, "ABORTED"),
        (errors.DeviceUnavailable, "UNAVAILABLE"),
        (errors.ClusterUnavailable, "UNAVAILABLE"),
        (errors.NotSupported, "UNIMPLEMENTED"),
    ],
)
def test_the_codes_that_the_specification_names(kind: type[errors.DriverError], code: str) -> None:
    assert code_of(kind).name == code


def test_a_class_that_is_not_in_the_table_takes_the_code_of_the_nearest_that_is() -> None:
    class Special(errors.DeviceUnavailable):
        pass

    assert code_of(Special) is code_of(errors.DeviceUnavailable)


@pytest.mark.parametrize(("changes", "code"), [(True, Status.ABORTED), (False, Status.INTERNAL)])
def test_a_bug_is_never_final_where_something_may_have_changed(changes: bool, code: Status) -> None:
    found = verdict(ZeroDivisionError("secret=hunter2"), changes=changes)
    assert found == Verdict(code, "a fault in the driver (ZeroDivisionError), see its log", bug=True)


def test_a_deadline_of_ours_says_maybe() -> None:
    assert verdict(trio.TooSlowError(), changes=True).code is Status.DEADLINE_EXCEEDED


def test_messages_are_without_secrets_never_empty_and_fit_into_a_header() -> None:
    assert verdict(errors.NotFound("password=hunter2"), changes=True).message == "password=[removed]"
    assert verdict(errors.NotFound(), changes=True).message == "NotFound"
    long = verdict(errors.NotFound("x" * 5000), changes=True).message
    assert len(long) == 1024
    assert long.endswith("…")


ERRORS = st.sampled_from(
    [
        errors.NotFound("n"),
        errors.AlreadyExists("a"),
        errors.Busy("b"),
        errors.OutcomeUnknown("o"),
        trio.TooSlowError(),
        ValueError("v"),
        KeyError("k"),
    ]
)
GROUPS = st.recursive(
    ERRORS, lambda inner: st.lists(inner, min_size=1, max_size=4).map(lambda e: ExceptionGroup("", e))
)


def leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error]


@given(GROUPS)
def test_of_several_errors_the_one_that_promises_least_counts(error: Exception) -> None:
    found, all_of_them = collapse(error), leaves(error)
    assert found in all_of_them
    maybes = [one for one in all_of_them if isinstance(one, errors.NotFinal | trio.TooSlowError)]
    bugs = [one for one in all_of_them if not isinstance(one, errors.DriverError | trio.TooSlowError)]
    assert found is (maybes or bugs or all_of_them)[0]
    if maybes or bugs:
        assert verdict(error, changes=True).code in NOT_FINAL


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == reference.render(), "run: python -m rdscsi.csi.reference > docs/error-codes.md"


def test_the_page_tells_of_every_class_and_names_only_calls_that_exist() -> None:
    told = reference.render()
    assert all(f"| {kind.__name__} | {code.name} |" in told for kind, code in CODES.items())
    calls = {name for call, _, _ in reference.CORNERS for name in call.split(", ")} - {"any"}
    assert all(hasattr(pb, f"{call}Request") for call in calls)


def test_the_answers_on_the_page_are_codes() -> None:
    words = {answer.split(",")[0].split(":")[0] for _, _, answer in reference.CORNERS}
    assert words <= {code.name for code in Status}
