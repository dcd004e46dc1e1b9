"""The report as one HTML page that needs nothing else, and as JSON. Pure."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from html import escape

from rdscsi import __version__
from rdscsi.drill.picture import timeline
from rdscsi.drill.results import FORMAT, Rehearsal, Standing, Verdict

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #111827 }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .6rem; vertical-align: top;
border-bottom: 1px solid #e5e7eb } code, li { font: 12px/1.5 ui-monospace, monospace; overflow-wrap: anywhere }
.passed { color: #15803d; font-weight: bold } .failed { color: #c81e1e; font-weight: bold }
details { border: 1px solid #e5e7eb; border-radius: 6px; margin: .4rem 0; padding: .4rem .8rem }
summary { cursor: pointer } ul { margin: 0; padding-left: 1rem } svg { max-width: 100%; height: auto }
"""


def as_json(verdicts: Sequence[Verdict]) -> str:
    """Everything as JSON; `format` names what it is."""
    return json.dumps(
        {
            "format": FORMAT,
            "version": __version__,
            "passed": all(verdict.passed for verdict in verdicts),
            "drills": [{**asdict(verdict), "passed": verdict.passed} for verdict in verdicts],
        },
        indent=2,
    )


def as_html(verdicts: Sequence[Verdict], when: str) -> str:
    """One page: a table of verdicts, then each rehearsal with its timeline."""
    passed = sum(verdict.passed for verdict in verdicts)
    cases = sum(len(verdict.rehearsals) for verdict in verdicts)
    rows = "".join(
        f'<tr><td><a href="#{verdict.name}">{verdict.name}</a></td><td>{escape(verdict.title)}</td>'
        f"<td>{escape(verdict.promise)}</td><td>{len(verdict.rehearsals)}</td><td>{_word(verdict.passed)}</td></tr>"
        for verdict in verdicts
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>rdscsi drill</title>'
        f"<style>{_STYLE}</style></head><body><h1>Crash-recovery drills</h1>"
        f"<p>{passed} of {len(verdicts)} drills passed, {cases} cases. "
        f"rdscsi {escape(__version__)}, {escape(when)}.</p>"
        f"<table><tr><th>drill</th><th>what happens</th><th>what is promised</th><th>cases</th><th></th></tr>{rows}"
        f"</table>{''.join(map(_drill, verdicts))}</body></html>\n"
    )


def _word(passed: bool) -> str:
    return f'<span class="{"passed" if passed else "failed"}">{"passed" if passed else "FAILED"}</span>'


def _drill(verdict: Verdict) -> str:
    body = "".join(_rehearsal(one) for one in verdict.rehearsals)
    return f'<h2 id="{verdict.name}">{verdict.name} {_word(verdict.passed)}</h2><p>{escape(verdict.title)}.</p>{body}'


def _rehearsal(rehearsal: Rehearsal) -> str:
    return (
        f"<details{'' if rehearsal.passed else ' open'}><summary>{escape(rehearsal.case)}: {_word(rehearsal.passed)}"
        f"</summary>{''.join(_wrong(rehearsal))}<table><tr><th></th><th>appliance</th><th>journal</th></tr>"
        f"{_standing('before', rehearsal.before)}{_standing('after the strike', rehearsal.struck)}"
        f"{_standing('after recovery', rehearsal.after)}</table>{timeline(rehearsal.events)}</details>"
    )


def _wrong(rehearsal: Rehearsal) -> Iterator[str]:
    if rehearsal.wrong:
        yield f'<ul class="failed">{"".join(f"<li>{escape(one)}</li>" for one in rehearsal.wrong)}</ul>'


def _standing(when: str, standing: Standing) -> str:
    def listed(texts: Sequence[str]) -> str:
        return "<br>".join(f"<code>{escape(text)}</code>" for text in texts)

    return f"<tr><td>{when}</td><td>{listed(standing.appliance)}</td><td>{listed(standing.journal)}</td></tr>"
