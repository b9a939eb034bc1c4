# SPDX-License-Identifier: Apache-2.0
"""Measures poses and pairs of poses: the codes, and the category of each."""
