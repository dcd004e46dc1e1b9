"""What the driver would miss on the appliance that is probed, in the driver's own words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rdscsi.errors import UnexpectedAnswer
from rdscsi.probe.transcript import Exchange
from rdscsi.routeros.answers import parse_answer
from rdscsi.routeros.preflight import (
    policy_mistakes,
    pool_remarks,
    pool_troubles,
    read_look,
    refused_policy,
    version_mistakes,
)


def findings(looks: Sequence[Exchange], pool: str, user: str) -> list[str]:
    """Read the answers to `steps.looks`; empty when everything is there. The base path is taken for the default."""
    told = {exchange.step: exchange for exchange in looks}
    return [*_of_the_look(told["look"], pool), *_of_the_policies(told["policies"], user)]


def _of_the_look(exchange: Exchange, pool: str) -> list[str]:
    if refused := refused_policy(exchange.output):
        return [refused]
    if exchange.trouble:
        return [f"the driver's first look got no answer: {exchange.trouble}"]
    try:
        seen = read_look(parse_answer(tuple(line.rstrip() for line in exchange.output.splitlines())), "")
    except UnexpectedAnswer as error:
        return [f"the driver cannot read its first look: {error}"]
    base_path = seen.pool.mount_point if seen.pool is not None else ""
    return [*version_mistakes(seen), *pool_troubles(seen, pool, base_path), *pool_remarks(seen, pool)]


def _of_the_policies(exchange: Exchange, user: str) -> list[str]:
    """Whoever may not read users cannot be told about; the refusal of a write then says it."""
    policies = exchange.output.strip().replace(";", ",").split(",")
    if not user or exchange.trouble or "read" not in policies:
        return []
    return policy_mistakes(user, policies)
