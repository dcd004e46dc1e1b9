"""The committed code under rdscsi/csi/pb is what proto/generate.py makes of proto/csi.proto."""

import subprocess
import sys
from pathlib import Path

from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "rdscsi" / "csi" / "pb"


def test_the_generated_package_is_fresh() -> None:
    command = [sys.executable, str(ROOT / "proto" / "generate.py"), "--check"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_descriptor_set_carries_its_imports_and_no_source_text() -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString((PACKAGE / "csi.binpb").read_bytes()).file
    names = [file.name for file in files]
    assert names[-1] == "csi.proto"
    assert {"google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto"} <= set(names)
    assert not any(file.HasField("source_code_info") for file in files)
