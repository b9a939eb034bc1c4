# SPDX-License-Identifier: Apache-2.0
"""The protocols of each task: samples, answers and how they are measured."""
