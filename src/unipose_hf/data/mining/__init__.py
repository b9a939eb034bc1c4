# SPDX-License-Identifier: Apache-2.0
"""Selects poses from many: the pool, farthest points, and pairs worth an instruction."""
