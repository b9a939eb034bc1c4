# SPDX-License-Identifier: Apache-2.0
"""What language models are asked for: texts refined, people labelled, and the checks of what they answer."""
