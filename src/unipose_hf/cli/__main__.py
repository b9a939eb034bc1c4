# SPDX-License-Identifier: Apache-2.0
"""`python -m unipose_hf.cli`"""

from . import main

main()
