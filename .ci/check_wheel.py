# SPDX-License-Identifier: Apache-2.0
"""The wheel has every tracked file of the package, and nothing beside it: `python .ci/check_wheel.py WHEEL`."""

import subprocess
import sys
import zipfile

packed = set(zipfile.ZipFile(sys.argv[1]).namelist())
tracked = subprocess.run(["git", "ls-files", "src"], capture_output=True, text=True, check=True).stdout.split("\n")
missing = [name for name in tracked if name and name.removeprefix("src/") not in packed]
foreign = [name for name in packed if not name.startswith(("unipose_hf/", "unipose_hf-"))]
print(f"wheel: {len(packed)} files, missing {missing}, foreign {foreign}")
sys.exit(bool(missing or foreign))
