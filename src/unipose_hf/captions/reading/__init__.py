# SPDX-License-Identifier: Apache-2.0
"""Sentences read back into codes, and held against poses."""
