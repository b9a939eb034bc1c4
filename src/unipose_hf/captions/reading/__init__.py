# SPDX-License-Identifier: Apache-2.0
"""Parses sentences back into codes and compares them with poses."""
