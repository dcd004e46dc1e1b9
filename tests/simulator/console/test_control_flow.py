"""Blocks, loops, errors, functions and scopes."""

from collections.abc import Callable

import pytest

from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour

MakeAppliance = Callable[..., Appliance]


def lines(appliance: Appliance, text: str) -> list[str]:
    return appliance.run(text).replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (":if (1 = 1) do={:put a} else={:put b}", ["a"]),
        (":if (1 = 2) do={:put a} else={:put b}", ["b"]),
        (":for i from=1 to=3 do={:put $i}", ["1", "2", "3"]),
        (":for i from=5 to=1 step=-2 do={:put $i}", ["5", "3", "1"]),
        (":foreach i in={7;8} do={:put $i}", ["7", "8"]),
        (":foreach i in=[:nothing] do={:put never}", []),
        (":local n 0; :while ($n < 3) do={:set n ($n + 1)}; :put $n", ["3"]),
        (":local n 0; :do {:set n ($n + 1)} while=($n < 3); :put $n", ["3"]),
        (":for i from=1 to=9 do={:if ($i = 2) do={:continue}; :if ($i = 4) do={:break}; :put $i}", ["1", "3"]),
        (":do {:error x; :put never} on-error={:put caught}", ["caught"]),
        (":do {:put fine} on-error={:put never}", ["fine"]),
        (':put [:onerror e in={:error "boom"} do={:put $e}]', ["boom (:error; line 1)", "true"]),
        (":put [:onerror e in={:put fine} do={:put never}]", ["fine", "false"]),
        (":put [:onerror e in={:error x} do={:return 1.1}]", ["1.0.0.1"]),
        (":onerror e in={/disk/remove nope} do={:put $e}", ["no such item (/disk/remove; line 1)"]),
        (":put before; :error stop; :put never", ["before", "stop (:error; line 1)"]),
        (":put before; :quit; :put never", ["before"]),
        (":do {:quit} on-error={:put never}; :put never", []),
        (":put [:do {:return 5}]", ["5"]),
        (":local f do={:return ($1 * 2)}; :put [$f 21]", ["42"]),
        (":local f do={:return ($a . $b)}; :put [$f b=2 a=1]", ["12"]),
        (":local f do={:put [:typeof $outer]}; :local outer 1; $f", ["nothing"]),
        (":local a 1; { :local a 2; :put $a }; :put $a", ["2", "1"]),
        (":local a 1; { :set a 2 }; :put $a", ["2"]),
        (":retry command={:put try; :error x} delay=1 max=3 on-error={:put gave-up}", ["try", "try", "try", "gave-up"]),
        (":put [:len [:toarray [:range 1 5]]]", ["5"]),
        (':execute ":error isolated"; :put on', ["on"]),
        (':put [:execute ":put inner" as-string]', ["inner", ""]),
    ],
)
def test_flow(appliance: Appliance, text: str, printed: list[str]) -> None:
    assert lines(appliance, text) == printed


def test_an_error_inside_the_handler_is_printed(appliance: Appliance) -> None:
    assert lines(appliance, ":onerror e in={:error one} do={:error two}; :put never") == ["two (:error; line 1)"]


def test_the_names_of_items_are_shadowed_by_variables_in_conditions(appliance: Appliance) -> None:
    assert lines(appliance, ":put [:len [/disk/find where slot=pool1]]") == ["1"]
    assert lines(appliance, ":local slot other; :put [:len [/disk/find where slot=pool1]]") == ["0"]


def test_globals_stay_for_the_user_and_locals_do_not(appliance: Appliance) -> None:
    appliance.run(":global kept 5; :local gone 6")
    assert lines(appliance, ":global kept; :put $kept; :put $gone") == ["5", ""]
    assert appliance.run(":put $kept", user="someone-else") == "\r\n"


def test_a_reboot_forgets_globals(appliance: Appliance) -> None:
    appliance.run(":global kept 5")
    appliance.reboot()
    assert appliance.run(":put $kept") == "\r\n"


def test_a_condition_must_be_true_or_false(appliance: Appliance) -> None:
    assert lines(appliance, ":if (5) do={:put x}") == ["conditional not boolean"]


def test_endless_lines_are_interrupted(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance(ApplianceOptions(behaviour=Behaviour(max_steps=1000)))
    assert lines(appliance, ":while (true) do={}") == ["interrupted"]
    assert lines(appliance, ":global f do={:global f; $f}; $f") == ["interrupted"]
    assert lines(appliance, ":put alive") == ["alive"]


def test_a_delay_passes_on_the_appliance_clock(appliance: Appliance) -> None:
    before = appliance.clock.now()
    appliance.run(":delay 90s; :delay 250ms")
    assert appliance.clock.now() - before == 90.25


def test_a_suffix_names_the_command_from_7_22_on(make_appliance: MakeAppliance) -> None:
    old = make_appliance(ApplianceOptions(version="7.21.5"), name="old")
    assert lines(old, ":error boom") == ["boom"]
    assert lines(old, "/disk/remove nope") == ["no such item"]
    switched = ApplianceOptions(version="7.24.4", behaviour=Behaviour(error_suffix=False))
    assert lines(make_appliance(switched, name="new"), ":error boom") == ["boom"]
