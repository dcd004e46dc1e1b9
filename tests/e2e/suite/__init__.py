"""The E2E suite: scenarios of a volume's life and of what goes wrong, by kubectl-level objects alone.

`scenario` is the frame (registry, context, waiting), `objects` what is applied, `leftovers` what must not be there
afterwards, `running` the run itself. The scenarios are in `life`, `many`, `failures`, `appliance`, `installation`.
"""
