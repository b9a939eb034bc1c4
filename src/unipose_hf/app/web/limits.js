// SPDX-License-Identifier: Apache-2.0
// Joint limits. A rotation is a twist about the bone followed by a swing of the bone, and limits are a box in these
// three coordinates, as in data/synthesis/joint_limits.py.

const SLACK = 1e-4; // radians, so that rounding is no limit

export function makeLimits({ axes, low, high }) {
  const radians = (rows) => rows.map((row) => row && row.map((degrees) => (degrees * Math.PI) / 180));
  const lowest = radians(low), highest = radians(high);

  // A quaternion {x, y, z, w} of a joint -> [x, y, z], radians.
  function coordinates(joint, { x, y, z, w }) {
    const axis = axes[joint], part = [x, y, z][axis], length = Math.hypot(part, w);
    // The twist of a 180-degree swing is undefined.
    const t = length > 1e-6 ? part / length : 0, c = length > 1e-6 ? w / length : 1;
    const v = [0, 0, 0];
    v[axis] = t;
    // swing = rotation times the twist's inverse
    const swing = [
      c * x - w * v[0] - y * v[2] + z * v[1],
      c * y - w * v[1] - z * v[0] + x * v[2],
      c * z - w * v[2] - x * v[1] + y * v[0],
    ];
    const real = w * c + x * v[0] + y * v[1] + z * v[2];
    const found = rotationVector(swing, real);
    found[axis] = rotationVector(v, c)[axis];
    return found;
  }

  // The inverse.
  function quaternion(joint, values) {
    const axis = axes[joint], half = values[axis] / 2, vector = [...values];
    vector[axis] = 0;
    const angle = Math.hypot(...vector), share = angle > 1e-9 ? Math.sin(angle / 2) / angle : 0.5;
    const [x, y, z] = vector.map((value) => value * share), w = Math.cos(angle / 2);
    const v = [0, 0, 0], c = Math.cos(half);
    v[axis] = Math.sin(half);
    return {
      x: w * v[0] + c * x + y * v[2] - z * v[1],
      y: w * v[1] + c * y + z * v[0] - x * v[2],
      z: w * v[2] + c * z + x * v[1] - y * v[0],
      w: w * c - x * v[0] - y * v[1] - z * v[2],
    };
  }

  // The box of a joint as [low, high]. A joint that is outside when it is taken hold of may stay there, but go no
  // further, so that nothing jumps.
  function box(joint, now) {
    if (!lowest[joint]) return null;
    const at = coordinates(joint, now);
    return [lowest[joint].map((v, k) => Math.min(v, at[k])), highest[joint].map((v, k) => Math.max(v, at[k]))];
  }

  // Puts a quaternion into a box; true if it was outside.
  function clamp(joint, turn, within) {
    if (!within) return false;
    const at = coordinates(joint, turn);
    const inside = at.map((v, k) => Math.min(Math.max(v, within[0][k]), within[1][k]));
    if (at.every((v, k) => Math.abs(v - inside[k]) < SLACK)) return false;
    const { x, y, z, w } = quaternion(joint, inside);
    turn.set(x, y, z, w);
    return true;
  }

  return { box, clamp, coordinates, quaternion };
}

function rotationVector([x, y, z], w) {
  const sign = w < 0 ? -1 : 1, sine = Math.hypot(x, y, z);
  const scale = sine < 1e-9 ? 2 * sign : (sign * 2 * Math.atan2(sine, Math.abs(w))) / sine;
  return [x * scale, y * scale, z * scale];
}
