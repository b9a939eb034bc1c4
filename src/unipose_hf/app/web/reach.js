// SPDX-License-Identifier: Apache-2.0
// Brings the end of a limb to a place: the elbow or knee bends about its hinge until the distance fits, then the
// shoulder or hip points the end at the place. With limits this is repeated, so that joints slide along them.

const ROUNDS = 8, HALVINGS = 24, STRAIGHT_TO = (150 * Math.PI) / 180;

// From the end of a limb: its middle and root joint, and the axis and sign of the middle joint's hinge.
export const LIMBS = {
  left_wrist: { middle: "left_elbow", root: "left_shoulder", axis: 1, sign: -1 },
  right_wrist: { middle: "right_elbow", root: "right_shoulder", axis: 1, sign: 1 },
  left_ankle: { middle: "left_knee", root: "left_hip", axis: 0, sign: 1 },
  right_ankle: { middle: "right_knee", root: "right_hip", axis: 0, sign: 1 },
};

// `bones`: end, middle and root (three.js). `limits`: as makeLimits gives them; `held`: the boxes of middle and root,
// or null for no limits. `numbers`: the joints' numbers. Returns whether the root is at its limit.
export function reach(T, { bones, numbers, limb, limits, held, target }) {
  const { end, middle, root } = bones;
  const at = new T.Vector3(), to = new T.Vector3(), from = new T.Vector3();
  const turn = new T.Quaternion(), world = new T.Quaternion(), parent = new T.Quaternion();
  const values = limits.coordinates(numbers.middle, middle.quaternion);
  const box = held?.middle;
  const range = box ? [box[0][limb.axis], box[1][limb.axis]].map((v) => v * limb.sign) : [0, STRAIGHT_TO];
  const most = Math.max(...range);

  const bend = (angle) => {
    values[limb.axis] = limb.sign * angle;
    const { x, y, z, w } = limits.quaternion(numbers.middle, values);
    middle.quaternion.set(x, y, z, w);
    return from.copy(end.position).applyQuaternion(middle.quaternion).add(middle.position).length();
  };
  root.getWorldPosition(at);
  const distance = at.distanceTo(target);
  let low = 0, high = most; // the more it bends, the nearer is the end
  for (let halving = 0; halving < HALVINGS; halving += 1) {
    const half = (low + high) / 2;
    if (bend(half) > distance) low = half; else high = half;
  }
  root.updateWorldMatrix(false, true);

  let limited = false;
  for (let round = 0; round < ROUNDS; round += 1) {
    from.copy(end.getWorldPosition(from)).sub(at).normalize();
    to.copy(target).sub(at).normalize();
    turn.setFromUnitVectors(from, to);
    root.getWorldQuaternion(world);
    root.parent.getWorldQuaternion(parent);
    root.quaternion.copy(parent.invert().multiply(turn).multiply(world)).normalize();
    limited = held ? limits.clamp(numbers.root, root.quaternion, held.root) : false;
    root.updateWorldMatrix(false, true);
    if (!limited) break;
  }
  return limited;
}
