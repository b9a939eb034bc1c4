# SPDX-License-Identifier: Apache-2.0
"""Every tracked file of the package must be in the wheel: `python .ci/check_wheel.py WHEEL`."""

import subprocess
import sys
import zipfile

packed = set(zipfile.ZipFile(sys.argv[1]).namelist())
tracked = subprocess.run(["git", "ls-files", "src"], capture_output=True, text=True, check=True).stdout.split("\n")
missing = [name for name in tracked if name and name.removeprefix("src/") not in packed]
print(f"wheel: {len(packed)} files, missing {missing}")
sys.exit(bool(missing))
