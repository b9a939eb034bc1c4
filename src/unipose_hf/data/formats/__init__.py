# SPDX-License-Identifier: Apache-2.0
"""Files that hold poses, whoever wrote them: BVH, GLB, npz and the results of other programs, read into our frame."""
