# SPDX-License-Identifier: Apache-2.0
"""Codes put into words: what is worth saying, in which order, and in which sentences."""
