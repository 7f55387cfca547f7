"""Make the data wheel headsplat-models: MediaPipe's face models with their license, for machines without a network.

    python -m tools.models_wheel -o dist     # writes dist/headsplat_models-1.0-py3-none-any.whl, always the same bytes
    python -m tools.models_wheel --require   # before a release is built: headsplat itself depends on that wheel

The models come from where a capture finds them (the cache folder, else MediaPipe's wheel from the package index) and
are compared with their SHA-256. Neither command needs more than Python, pip and this checkout.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import re
import sys
import zipfile
from pathlib import Path

from avatar.common.temporaries import replacement, temporary_path
from avatar.errors import HeadsplatError
from capture.networks.models import LICENSE_FILE, MODEL_SHA256, PACKAGE, WHEEL, is_expected, license_text, model_path

#: Of the wheel; the extra `models` in pyproject.toml names it. Other models need another version.
VERSION = "1.0"
REQUIREMENT = f"headsplat-models=={VERSION}"
NAME = f"{PACKAGE}-{VERSION}-py3-none-any.whl"
LICENSE_SHA256 = "8707eef0533987efc5b155d64761eeb6e20793f50b9bd1a68dad1cf4719d0ed8"
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
_INFO = f"{PACKAGE}-{VERSION}.dist-info"
_NOTICE = f"""headsplat-models

The .tflite files are MediaPipe's, Copyright 2019-2024 The MediaPipe Authors, Apache License, Version 2.0
({LICENSE_FILE}), https://github.com/google-ai-edge/mediapipe. They are unchanged copies of files in
{WHEEL}, https://pypi.org/project/mediapipe/0.10.21/.
"""
_METADATA = f"""Metadata-Version: 2.4
Name: headsplat-models
Version: {VERSION}
Summary: The face models that headsplat captures with (MediaPipe's, unchanged)
License-Expression: Apache-2.0
License-File: {LICENSE_FILE}
License-File: NOTICE
Requires-Python: >=3.10
Description-Content-Type: text/plain

{_NOTICE}"""


def wheel_files() -> dict[str, bytes]:
    """Content of the files of the wheel by name, its list of files left out.

    Raises:
        HeadsplatError: a model or the license cannot be had, or is not MediaPipe's.
    """
    files = {f"{PACKAGE}/{name}.tflite": model_path(name).read_bytes() for name in MODEL_SHA256}
    license = license_text().encode()
    wrong = [name for name in MODEL_SHA256 if not is_expected(files[f"{PACKAGE}/{name}.tflite"], name)]
    if hashlib.sha256(license).hexdigest() != LICENSE_SHA256:
        wrong.append(LICENSE_FILE)
    if wrong:
        raise HeadsplatError(f"{', '.join(wrong)}: not MediaPipe's; unset HEADSPLAT_MODELS and empty the cache folder")
    files[f"{PACKAGE}/__init__.py"] = b'"""MediaPipe\'s face models, which headsplat reads from this folder."""\n'
    files[f"{PACKAGE}/{LICENSE_FILE}"] = license
    files[f"{_INFO}/licenses/{LICENSE_FILE}"] = license
    files[f"{_INFO}/licenses/NOTICE"] = _NOTICE.encode()
    files[f"{_INFO}/METADATA"] = _METADATA.encode()
    files[f"{_INFO}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: headsplat\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return files


def write_wheel(folder: Path) -> Path:
    """Write the wheel into `folder`, sorted, stored, with one date, so that its bytes are the same everywhere."""
    files = wheel_files()
    digests = {name: base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).decode() for name in files}
    rows = [f"{name},sha256={digests[name].rstrip('=')},{len(files[name])}" for name in sorted(files)]
    files[f"{_INFO}/RECORD"] = "".join(f"{row}\n" for row in [*rows, f"{_INFO}/RECORD,,"]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    with replacement(path, temporary_path(path)) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)  # 1 January 1980
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, files[name])
    return path


def require(pyproject: Path = PYPROJECT) -> None:
    """Add the wheel to the dependencies in pyproject.toml; a file that has it already stays as it is."""
    text = pyproject.read_text(encoding="utf-8")
    line = f'dependencies = [\n  "{REQUIREMENT}",\n'
    if line not in text:
        changed, count = re.subn(r"^dependencies = \[\n", line, text, count=1, flags=re.MULTILINE)
        if not count:
            raise HeadsplatError(f"{pyproject}: has no list of dependencies")
        pyproject.write_text(changed, encoding="utf-8", newline="\n")


def main(arguments: list[str]) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.models_wheel", description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--out", type=Path, metavar="DIR", help="folder for the wheel")
    parser.add_argument("--require", action="store_true", help=f"add {REQUIREMENT} to this checkout's dependencies")
    options = parser.parse_args(arguments)
    if options.out is None and not options.require:
        parser.error("nothing to do: give -o DIR or --require")
    if options.require:
        require()
    if options.out is not None:
        path = write_wheel(options.out)
        print(f"{path}: SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except HeadsplatError as error:
        sys.exit(str(error))
