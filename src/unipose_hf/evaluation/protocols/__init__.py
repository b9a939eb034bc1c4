# SPDX-License-Identifier: Apache-2.0
"""The evaluation protocols of each task: samples, answers and metrics."""
