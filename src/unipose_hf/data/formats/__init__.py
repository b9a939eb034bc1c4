# SPDX-License-Identifier: Apache-2.0
"""Readers of pose files in our frame: BVH, GLB, npz and the results of other programs."""
