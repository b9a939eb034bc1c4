# SPDX-License-Identifier: Apache-2.0
"""The page of `unipose app` as a Space.

python app.py
"""

from unipose_hf.app.serving import launch

if __name__ == "__main__":
    launch(mcp=True)
