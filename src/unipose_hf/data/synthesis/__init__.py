# SPDX-License-Identifier: Apache-2.0
"""Synthetic poses and pictures: a sampler of plausible poses, joint limits, renders of people, clear or photo-like."""
