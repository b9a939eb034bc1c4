# SPDX-License-Identifier: Apache-2.0
"""Tasks for language models: refining texts and labelling people, with checks of their answers."""
