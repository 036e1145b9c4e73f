# SPDX-License-Identifier: MIT
"""
Makes the wheel for pip (PEP 517, PEP 660). The package is pure Python, so the standard library is enough:
pip needs neither setuptools nor a network, and leaves nothing in this folder.
"""

import base64
import hashlib
import io
import tarfile
import tomllib
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME = f"{PROJECT['name']}-{PROJECT['version']}"
WHEEL = "Wheel-Version: 1.0\nGenerator: toytimer\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def _metadata():
    fields = [("Metadata-Version", "2.1"), ("Name", PROJECT["name"]), ("Version", PROJECT["version"]),
              ("Summary", PROJECT["description"]), ("License", PROJECT["license"]["text"]),
              ("Requires-Python", PROJECT["requires-python"]),
              *(("Classifier", classifier) for classifier in PROJECT["classifiers"]),
              ("Description-Content-Type", "text/markdown")]
    readme = (HERE / PROJECT["readme"]).read_text(encoding="utf-8")
    return "".join(f"{name}: {value}\n" for name, value in fields) + "\n" + readme


def _sources():
    return {f"toytimer/{path.name}": path.read_bytes()
            for path in sorted((HERE / "toytimer").iterdir()) if path.is_file()}


def _wheel(directory, files):
    info = f"{NAME}.dist-info"
    files = {**files, f"{info}/METADATA": _metadata().encode(), f"{info}/WHEEL": WHEEL.encode()}
    record = ""
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(data)}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = f"{NAME}-py3-none-any.whl"
    with zipfile.ZipFile(Path(directory, wheel), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            member = zipfile.ZipInfo(name)  # the same bytes each time: it has no time of its own
            member.external_attr = 0o100644 << 16
            archive.writestr(member, data, zipfile.ZIP_DEFLATED)
    return wheel


def prepare_metadata_for_build_wheel(directory, config_settings=None):
    folder = Path(directory, f"{NAME}.dist-info")
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(_metadata(), encoding="utf-8")
    return folder.name


def build_wheel(directory, config_settings=None, metadata_directory=None):
    return _wheel(directory, _sources())


def build_editable(directory, config_settings=None, metadata_directory=None):
    return _wheel(directory, {"toytimer.pth": f"{HERE}\n".encode()})


def build_sdist(directory, config_settings=None):
    files = {**_sources(), "PKG-INFO": _metadata().encode(),
             **{name: (HERE / name).read_bytes()
                for name in ("README.md", "backend.py", "pyproject.toml")}}
    with tarfile.open(Path(directory, f"{NAME}.tar.gz"), "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{NAME}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return f"{NAME}.tar.gz"
