# SPDX-License-Identifier: Apache-2.0
"""Reports results as tables, pictures and cards, with published figures for comparison."""
