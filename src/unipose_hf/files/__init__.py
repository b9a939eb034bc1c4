# SPDX-License-Identifier: Apache-2.0
"""Safe reading of foreign files and atomic writing, used by every part of the package."""
