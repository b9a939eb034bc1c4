# SPDX-License-Identifier: Apache-2.0
"""Words codes: selects what is worth saying, orders it, and writes sentences."""
