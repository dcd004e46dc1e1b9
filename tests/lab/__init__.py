"""A laboratory for NVMe/TCP: throw-away virtual machines with Debian's own kernel, over this machine's files.

`python tests/lab --help` is the tool. A machine's root is the host's `/`, read-only under a tmpfs: the same Python,
`.venv`, checkout and programs at the same paths, and nothing of what it writes comes back, except below directories
that were named. `kernel` fetches the kernel, `qemu` writes the command line, `keeper` makes sure that nothing is left
behind, `machine` and `job` are what programs use. Only the standard library is imported: no `.venv` is needed.

What is tested in it: `tests/lab/guest` runs inside one machine, `tests/lab/nodes` drives several from outside,
`tests/lab/tool` is about the tool itself. `suite` is what `make lab` runs.
"""
