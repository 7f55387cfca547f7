"""Pack the Blender add-on with the reader of .hsa files that it uses.

python examples/blender/build.py headsplat_blender.zip

Install the file in Blender 4.2 or newer: Edit > Preferences > Add-ons > Install from Disk.
"""

import sys
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent
READER = ("hsa_reader.py", "hsa_light.py")

if __name__ == "__main__":
    with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((FOLDER / "headsplat_blender").glob("[!_.]*.*")):
            archive.write(path, path.name)
        for name in ("__init__.py", "LICENSE"):
            archive.write(FOLDER / "headsplat_blender" / name, name)
        for name in READER:
            archive.write(FOLDER.parent / name, name)
