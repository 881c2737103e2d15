"""A Protobuf schema as Google's library knows it: compiled by `protoc`, in a pool of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass


def compiled(schema: Path, folder: Path) -> Any:
    """The messages and enum values of a `.proto` file as attributes; `DESCRIPTOR` describes the file."""
    target = folder / "compiled.bin"
    command = [sys.executable, "-W", "ignore", "-m", "grpc_tools.protoc", f"-I{schema.parent}"]
    subprocess.run([*command, f"--descriptor_set_out={target}", schema.name], check=True)
    pool = DescriptorPool()
    (file,) = FileDescriptorSet.FromString(target.read_bytes()).file
    described = pool.AddSerializedFile(file.SerializeToString()) or pool.FindFileByName(file.name)
    names: dict[str, Any] = {"DESCRIPTOR": described}
    for name, message in described.message_types_by_name.items():
        names[name] = GetMessageClass(message)
    for enum in described.enum_types_by_name.values():
        names |= {value.name: value.number for value in enum.values}
    return SimpleNamespace(**names)
