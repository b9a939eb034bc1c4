# SPDX-License-Identifier: Apache-2.0
"""Readers of published data sets, one file each: lazy generators of records.

`list_...(root, split)` lists the content without reading poses, `read_...` yields `PoseRecord`s or `PairRecord`s in
our frame. Both raise `FileNotFoundError` with instructions on how to get a missing set; damaged records are skipped
and counted in one warning at the end.
"""
