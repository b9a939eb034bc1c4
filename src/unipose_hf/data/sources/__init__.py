# SPDX-License-Identifier: Apache-2.0
"""Readers of published data sets, one file each: generators of records that read no more than is asked of them.

`list_...(root, split)` says what there is without reading poses, `read_...` yields `PoseRecord`s or `PairRecord`s in
our frame. Both raise `FileNotFoundError` with the way to get the set where it is missing; damaged records are skipped
and counted in one warning at the end.
"""
