# SPDX-License-Identifier: Apache-2.0
"""Renders triangle meshes with OpenGL without a window, or with numpy if there is no OpenGL."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np

from .camera import Camera
from .software import rasterize


@dataclass(frozen=True)
class Light:
    """Studio lighting fixed to the camera: directions point to the lights, in the camera frame.

    Colours are linear RGB intensities. `sky` and `ground` light every surface depending on how far it faces up or
    down; `gloss` is the strength of the highlight, `rim` of the bright edge.
    """

    key_direction: tuple[float, float, float] = (-0.5, 0.75, 0.8)
    key: tuple[float, float, float] = (0.78, 0.75, 0.71)
    fill_direction: tuple[float, float, float] = (0.9, 0.1, 0.6)
    fill: tuple[float, float, float] = (0.2, 0.215, 0.24)
    sky: tuple[float, float, float] = (0.36, 0.37, 0.39)
    ground: tuple[float, float, float] = (0.17, 0.16, 0.15)
    gloss: float = 0.06
    rim: float = 0.06


VERTEX_SHADER = """
#version 330
uniform mat4 clip;
uniform mat3 turn;
uniform vec3 eye;
in vec3 position;
in vec3 normal;
in vec3 color;
out vec3 n;
out vec3 v;
out vec3 c;
void main() {
    n = turn * normal;
    v = turn * (eye - position);
    c = color;
    gl_Position = clip * vec4(position, 1.0);
}
"""

# `shade` below is the same in numpy: change both together. Gamma is 2 and not 2.2 because `pow` is expensive in an
# OpenGL that runs on the CPU.
FRAGMENT_SHADER = """
#version 330
uniform vec3 key_direction, key, fill_direction, fill, sky, ground;
uniform float gloss, rim;
in vec3 n;
in vec3 v;
in vec3 c;
out vec4 result;
void main() {
    vec3 N = normalize(n), V = normalize(v);
    vec3 H = normalize(key_direction + V);
    vec3 light = key * max(0.85 * dot(N, key_direction) + 0.15, 0.0)
        + fill * max(0.6 * dot(N, fill_direction) + 0.4, 0.0)
        + mix(ground, sky, 0.5 + 0.5 * N.y);
    float spot = max(dot(N, H), 0.0), edge = 1.0 - clamp(dot(N, V), 0.0, 1.0);
    spot *= spot; spot *= spot; spot *= spot; spot *= spot;
    float shine = gloss * spot + rim * edge * edge * edge;
    result = vec4(sqrt(clamp(c * c * light + shine * key, 0.0, 1.0)), 1.0);
}
"""

_local = threading.local()  # an OpenGL context belongs to one thread
_processes: set[int] = set()  # the process that first used OpenGL, and, seen from a forked child, its parent


def _opengl_context():
    """This thread's windowless OpenGL context, created at the first call; raises if there is no OpenGL."""
    if _processes - {os.getpid()}:
        # Mesa's worker threads do not survive a fork, and waiting for them would never end
        raise RuntimeError("this process was forked from one that had used OpenGL; start workers by 'spawn'")
    if getattr(_local, "context", None) is None:
        import moderngl

        backend = {"backend": "egl"} if sys.platform.startswith("linux") else {}
        _local.context = moderngl.create_context(standalone=True, **backend)
        _local.context.gc_mode = "context_gc"  # buffers of dead renderers wait for this thread to free them
        _processes.add(os.getpid())
    return _local.context


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Smooth unit normals (V, 3): the mean of the normals of the faces around each vertex, weighted by their area."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    face_normals = np.cross(b - a, c - a)
    corners = faces.T.reshape(-1)
    count = len(vertices)
    total = np.stack(
        [np.bincount(corners, weights=np.tile(face_normals[:, i], 3), minlength=count) for i in range(3)], axis=1
    )
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def shade(normals: np.ndarray, to_eye: np.ndarray, colors: np.ndarray, light: Light) -> np.ndarray:
    """Colours (n, 3) in [0, 1] of surface points: what the fragment shader computes, in numpy."""
    normals, to_eye = _unit(normals), _unit(to_eye)
    key_direction, fill_direction = _unit(np.array(light.key_direction)), _unit(np.array(light.fill_direction))
    half = _unit(key_direction + to_eye)
    up = 0.5 + 0.5 * normals[:, 1:2]
    lit = (
        np.array(light.key) * np.maximum(0.85 * normals @ key_direction + 0.15, 0)[:, None]
        + np.array(light.fill) * np.maximum(0.6 * normals @ fill_direction + 0.4, 0)[:, None]
        + np.array(light.ground) * (1 - up)
        + np.array(light.sky) * up
    )
    shine = light.gloss * np.maximum((normals * half).sum(1), 0) ** 16
    shine = shine + light.rim * (1 - np.clip((normals * to_eye).sum(1), 0, 1)) ** 3
    return np.sqrt(np.clip(colors**2 * lit + shine[:, None] * np.array(light.key), 0, 1))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


class Renderer:
    """Renders meshes of any topology at one picture size; buffers are reused, so many pictures in a row are fast.

    Args:
        width, height: picture size in pixels.
        samples: samples per pixel for anti-aliasing (always 4 in the fallback).
        backend: "opengl", "software", or None for OpenGL if it works and otherwise numpy (no EGL, or a process
            forked from one that used OpenGL). The attribute `backend` is the one in use. Use a renderer only in the
            thread that created it.
    """

    def __init__(self, width: int, height: int, *, samples: int = 4, backend: str | None = None):
        if backend not in (None, "opengl", "software"):
            raise ValueError(f"backend is {backend!r}; use 'opengl', 'software' or None (automatic).")
        self.width, self.height = width, height
        self.backend = "software"
        if backend != "software":
            try:
                context = _opengl_context()
            except Exception as error:  # moderngl raises plain Exception, and OSError when libEGL is missing
                if backend == "opengl":
                    raise RuntimeError(
                        f"OpenGL is not available ({error}); use backend='software', or install libEGL where it is "
                        "missing (Debian: libegl1 libegl-mesa0 libgl1-mesa-dri)."
                    ) from error
            else:
                self.backend = "opengl"
                self._prepare_opengl(context, samples)

    @overload
    def render(
        self,
        vertices: np.ndarray,
        faces: np.ndarray,
        *,
        camera: Camera,
        vertex_colors: np.ndarray | None = ...,
        color: tuple[float, float, float] = ...,
        light: Light | None = ...,
        background: tuple[int, int, int] | np.ndarray = ...,
        return_mask: Literal[False] = ...,
    ) -> np.ndarray: ...

    @overload
    def render(
        self,
        vertices: np.ndarray,
        faces: np.ndarray,
        *,
        camera: Camera,
        vertex_colors: np.ndarray | None = ...,
        color: tuple[float, float, float] = ...,
        light: Light | None = ...,
        background: tuple[int, int, int] | np.ndarray = ...,
        return_mask: Literal[True],
    ) -> tuple[np.ndarray, np.ndarray]: ...

    def render(
        self,
        vertices: np.ndarray,
        faces: np.ndarray,
        *,
        camera: Camera,
        vertex_colors: np.ndarray | None = None,
        color: tuple[float, float, float] = (0.72, 0.72, 0.74),
        light: Light | None = None,
        background: tuple[int, int, int] | np.ndarray = (255, 255, 255),
        return_mask: bool = False,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Renders one picture of one mesh.

        Args:
            vertices: (V, 3) float, metres, world frame; faces: (F, 3) int, counter-clockwise seen from outside.
            vertex_colors: (V, 3) sRGB in [0, 1]; without it the whole mesh has `color`.
            background: an RGB colour of whole numbers 0..255, or a picture (height, width, 3) uint8.
            return_mask: also return the mesh's coverage of each pixel (height, width) uint8, 255 = wholly covered.

        Returns:
            uint8 (height, width, 3), or a pair with the mask.
        """
        vertices = np.ascontiguousarray(vertices, dtype=np.float32)
        faces = np.asarray(faces)
        if vertices.ndim != 2 or vertices.shape[1] != 3:
            raise ValueError(f"vertices have shape {vertices.shape}; expected (V, 3): render one mesh at a time.")
        if vertex_colors is None:
            vertex_colors = np.broadcast_to(np.asarray(color, dtype=np.float32), vertices.shape)
        normals = vertex_normals(vertices, faces)
        draw = self._draw_opengl if self.backend == "opengl" else self._draw_software
        layer = draw(vertices, normals, np.asarray(vertex_colors, np.float32), faces, camera, light or Light())
        picture = self._over(layer, background)
        return (picture, layer[..., 3]) if return_mask else picture

    def _over(self, layer: np.ndarray, background: tuple[int, int, int] | np.ndarray) -> np.ndarray:
        """Lay the premultiplied RGBA layer over the background."""
        background = np.asarray(background)
        if background.shape not in ((3,), (self.height, self.width, 3)):
            raise ValueError(
                f"background has shape {background.shape}; expected a colour (3,) or ({self.height}, {self.width}, 3)."
            )
        rest = (255 - layer[..., 3:]).astype(np.uint16)
        behind = (background.astype(np.uint16) * rest + 127) // 255
        return np.minimum(layer[..., :3] + behind, 255).astype(np.uint8)

    # --- OpenGL -----------------------------------------------------------------------------------------------

    def _prepare_opengl(self, context: Any, samples: int) -> None:
        context.gc()
        size = (self.width, self.height)
        samples = min(samples, context.max_samples)
        self._context = context
        self._program = context.program(vertex_shader=VERTEX_SHADER, fragment_shader=FRAGMENT_SHADER)
        self._drawn = context.framebuffer(
            context.renderbuffer(size, 4, samples=samples), context.depth_renderbuffer(size, samples=samples)
        )
        self._resolved = context.framebuffer(context.renderbuffer(size, 4))
        self._mesh: Any = None  # (faces as given, vertex count, vertex array, vertex buffer)

    def _draw_opengl(
        self,
        vertices: np.ndarray,
        normals: np.ndarray,
        colors: np.ndarray,
        faces: np.ndarray,
        camera: Camera,
        light: Light,
    ) -> np.ndarray:
        context, program = self._context, self._program
        if self._mesh is None or self._mesh[0] is not faces or self._mesh[1] != len(vertices):
            self._load_mesh(faces, len(vertices))
        _, _, array, buffer = self._mesh
        buffer.write(np.ascontiguousarray(np.concatenate((vertices, normals, colors), axis=1, dtype=np.float32)))
        program["clip"].write(np.ascontiguousarray(camera.clip_matrix(self.width, self.height).T, dtype=np.float32))
        program["turn"].write(np.ascontiguousarray(camera.rotation.T, dtype=np.float32))
        program["eye"].value = tuple(float(x) for x in camera.position)
        for name in ("key_direction", "fill_direction"):
            program[name].value = tuple(_unit(np.array(getattr(light, name), dtype=float)).tolist())
        for name in ("key", "fill", "sky", "ground", "gloss", "rim"):
            program[name].value = getattr(light, name)
        self._drawn.use()
        context.enable_only(context.DEPTH_TEST)
        self._drawn.clear(0.0, 0.0, 0.0, 0.0)
        array.render()
        context.copy_framebuffer(self._resolved, self._drawn)
        data = self._resolved.read(components=4, alignment=1)
        return np.frombuffer(data, dtype=np.uint8).reshape(self.height, self.width, 4)

    def _load_mesh(self, faces: np.ndarray, count: int) -> None:
        self._mesh = None
        self._context.gc()
        buffer = self._context.buffer(reserve=count * 9 * 4, dynamic=True)
        index = self._context.buffer(np.ascontiguousarray(faces, dtype=np.int32))
        array = self._context.vertex_array(
            self._program, [(buffer, "3f 3f 3f", "position", "normal", "color")], index_buffer=index
        )
        self._mesh = (faces, count, array, buffer)

    # --- numpy ------------------------------------------------------------------------------------------------

    def _draw_software(
        self,
        vertices: np.ndarray,
        normals: np.ndarray,
        colors: np.ndarray,
        faces: np.ndarray,
        camera: Camera,
        light: Light,
    ) -> np.ndarray:
        width, height = 2 * self.width, 2 * self.height  # 2 x 2 samples a pixel
        in_camera = camera.to_camera(vertices)
        covered, face, weights = rasterize(2 * camera.project(vertices), -in_camera[:, 2], faces, width, height)
        layer = np.zeros((height * width, 4), dtype=np.float32)
        corners = faces[face]  # (n, 3)

        def blend(values: np.ndarray) -> np.ndarray:
            return np.einsum("nk,nkd->nd", weights, values[corners])

        layer[covered, :3] = shade(blend(normals @ camera.rotation.T), blend(-in_camera), blend(colors), light)
        layer[covered, 3] = 1
        layer = layer.reshape(self.height, 2, self.width, 2, 4).mean((1, 3))
        return np.round(255 * layer).astype(np.uint8)
