# SPDX-License-Identifier: Apache-2.0
"""Small pictures of poses, drawn once each."""

import functools

from PIL import Image

from ..modeling.pose_unipose import Pose

SIZE = 288


@functools.lru_cache(maxsize=512)
def thumbnail(pose: Pose) -> Image.Image:
    """The pose as a picture of `SIZE` pixels."""
    return pose.render(size=SIZE)
