"""Crash-recovery drills that an operator runs: the real controller loses its life, its answers or its journal.

`drills` lists them, `rehearsal` runs one case of one, `results` is what came of it; `picture`, `report` and `view` show
it. `rdscsi.cli.drill` is the command.
"""
