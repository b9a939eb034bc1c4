// SPDX-License-Identifier: Apache-2.0
// Tints limbs of the body by the skin weights of their joints; tinting.py does the same with files.

const TINT = [1, 0.58, 0.08], SHARE = 0.7; // linear RGB

export function makeTint(scene) {
  const meshes = [];
  scene.traverse((thing) => {
    if (!thing.isSkinnedMesh) return;
    const { color, skinIndex, skinWeight } = thing.geometry.attributes;
    const own = Float32Array.from({ length: 3 * color.count }, (_, k) => color.getComponent(Math.floor(k / 3), k % 3));
    meshes.push({ color, skinIndex, skinWeight, own });
  });
  // `joints`: a Set of joint numbers.
  return (joints) => {
    for (const { color, skinIndex, skinWeight, own } of meshes) {
      for (let vertex = 0; vertex < color.count; vertex += 1) {
        let weight = 0;
        for (let k = 0; k < 4; k += 1) {
          if (joints.has(skinIndex.getComponent(vertex, k))) weight += skinWeight.getComponent(vertex, k);
        }
        for (let k = 0; k < 3; k += 1) {
          const share = SHARE * weight;
          color.setComponent(vertex, k, (1 - share) * own[3 * vertex + k] + share * TINT[k]);
        }
      }
      color.needsUpdate = true;
    }
  };
}
