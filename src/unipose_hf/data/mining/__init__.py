# SPDX-License-Identifier: Apache-2.0
"""Poses chosen from many: the pool they lie in, farthest points, and pairs worth an instruction."""
