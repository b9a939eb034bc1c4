# SPDX-License-Identifier: Apache-2.0
"""What every part of the package uses to read files of others and to write its own."""
