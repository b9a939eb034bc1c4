# SPDX-License-Identifier: Apache-2.0
"""Poses and pairs of poses measured: which codes there are, and the category that each falls into."""
