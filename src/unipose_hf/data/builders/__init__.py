# SPDX-License-Identifier: Apache-2.0
"""Data sets from poses and pictures: ImageScript, ImageDiff, PoseEst-Open, groups of people; shards and cards."""
