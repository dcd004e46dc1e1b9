"""Generates rdscsi/csi/pb from proto/*.proto: betterproto2 messages and services, and the descriptor set of CSI's.

`generate.py` writes, `generate.py --check` only compares and ends with status 1 when the committed files are stale.
The output depends on the sources and the pinned tools alone (grpcio-tools, betterproto2_compiler, ruff), never on
the machine. The generated code is never edited; the descriptor set serves validation, redaction and reflection.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from google.protobuf import descriptor_pb2

HERE = Path(__file__).resolve().parent
CONTRACT = "csi.proto"
SOURCES = (CONTRACT, "pluginregistration.proto")
PACKAGE = HERE.parent / "rdscsi" / "csi" / "pb"
DESCRIPTORS = "csi.binpb"

OPTIONS_ONLY = "google/protobuf/descriptor.proto"
"""Imported for the option extensions alone; as Python classes it would cost each process 2.5 MB and 40 ms."""

RUFF_SETTINGS = 'line-length = 120\ntarget-version = "py311"\n'
"""The compiler formats its output by the settings above its working directory: these, and nobody else's."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Generate rdscsi/csi/pb from proto/*.proto.")
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 when the files are stale")
    check = parser.parse_args(arguments).check
    wanted = generate()
    stale = differences(wanted, read_tree(PACKAGE))
    if not check:
        write_tree(PACKAGE, wanted)
    for path in stale:
        print(f"{'stale' if check else 'written'}: {path}")
    return 1 if check and stale else 0


def generate() -> dict[str, bytes]:
    """All files of the package, by their path in it."""
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        (work / "ruff.toml").write_text(RUFF_SETTINGS)
        code = work / "code"
        code.mkdir()
        generate_code(work, without_options(compile_descriptors(work, SOURCES)), code)
        descriptors = compile_descriptors(work, (CONTRACT,))
        files = read_tree(code)
    files[DESCRIPTORS] = without_source_info(descriptors).SerializeToString(deterministic=True)
    return files


def compile_descriptors(work: Path, sources: Sequence[str]) -> descriptor_pb2.FileDescriptorSet:
    """Some sources and all that they import, comments included."""
    output = work / "all.binpb"
    flags = ["--include_imports", "--include_source_info", f"--descriptor_set_out={output}"]
    protoc([f"-I{HERE}", *flags, *sources], cwd=work)
    return descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())


def generate_code(work: Path, descriptors: descriptor_pb2.FileDescriptorSet, output: Path) -> None:
    given = work / "given.binpb"
    given.write_bytes(descriptors.SerializeToString(deterministic=True))
    plugin = shutil.which("protoc-gen-python_betterproto2", path=tool_path())
    if plugin is None:
        raise SystemExit("betterproto2_compiler is not installed beside this Python")
    flags = [
        f"--descriptor_set_in={given}",
        f"--plugin=protoc-gen-python_betterproto2={plugin}",
        f"--python_betterproto2_out={output}",
        "--python_betterproto2_opt=server_generation=async,client_generation=async",
    ]
    protoc([*flags, *SOURCES], cwd=work)


def protoc(arguments: Sequence[str], *, cwd: Path) -> None:
    environment = {**os.environ, "PATH": tool_path(), "RUFF_NO_CACHE": "true"}
    command = [sys.executable, "-m", "grpc_tools.protoc", *arguments]
    finished = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise SystemExit(f"protoc failed with status {finished.returncode}:\n{finished.stderr}")


def tool_path() -> str:
    """A search path on which the tools installed with this Python come first."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def without_options(descriptors: descriptor_pb2.FileDescriptorSet) -> descriptor_pb2.FileDescriptorSet:
    """The same messages without the option extensions, of which the generator makes nothing."""
    stripped = descriptor_pb2.FileDescriptorSet()
    stripped.file.extend(file for file in descriptors.file if file.name != OPTIONS_ONLY)
    for file in stripped.file:
        if OPTIONS_ONLY in file.dependency:
            file.dependency.remove(OPTIONS_ONLY)
        del file.extension[:]
        file.DiscardUnknownFields()
    return stripped


def without_source_info(descriptors: descriptor_pb2.FileDescriptorSet) -> descriptor_pb2.FileDescriptorSet:
    bare = descriptor_pb2.FileDescriptorSet()
    bare.CopyFrom(descriptors)
    for file in bare.file:
        file.ClearField("source_code_info")
    return bare


def read_tree(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def write_tree(root: Path, files: Mapping[str, bytes]) -> None:
    for name in read_tree(root).keys() - files.keys():
        (root / name).unlink()
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def differences(wanted: Mapping[str, bytes], found: Mapping[str, bytes]) -> list[str]:
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


if __name__ == "__main__":
    sys.exit(main())
