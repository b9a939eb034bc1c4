# SPDX-License-Identifier: Apache-2.0
"""One model that reads, describes, compares, estimates, generates and edits 3D human poses."""

__version__ = "0.1.0"
