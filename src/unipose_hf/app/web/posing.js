// SPDX-License-Identifier: Apache-2.0
// Poses a body by hand: joints are turned by rings or keys, hands and feet dragged by inverse kinematics.
// `props.value` is the pose as JSON text, as Pose.to_dict writes it, with `free`, the names of the limbs that
// may move, and `changed`, those that are tinted. Local rotations are relative to the T-pose, so a bone's quaternion is
// the joint's rotation.

import { makeLimits } from "./limits.js";
import { LIMBS, reach } from "./reach.js";
import { makeTint } from "./tint.js";

const STEP = (5 * Math.PI) / 180;
const KEYS = {
  ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [1, -1], ArrowRight: [1, 1], PageUp: [2, 1], PageDown: [2, -1],
};
const CHANGED = (8 * Math.PI) / 180; // as CHANGED_DEGREES of limbs.py
const DOT = 0x2563eb, CHOSEN = 0xdc2626, HANDLE = 0x16a34a, LOCKED = 0x6b7280;

export async function start({ element, props, trigger, watch, body, joints, mirror, limits, parts, three }) {
  const T = await import(three);
  const view = element.querySelector(".posing-view");
  const find = (name) => element.querySelector(`[data-do="${name}"]`);
  const choice = find("joint"), limited = find("limits"), status = element.querySelector(".posing-status");
  const label = (joint) => joints[joint].replaceAll("_", " ");
  const bounds = makeLimits(limits);
  view.tabIndex = 0;

  const renderer = new T.WebGLRenderer({ antialias: true, alpha: true });
  renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
  view.replaceChildren(renderer.domElement);
  const scene = new T.Scene();
  scene.add(new T.HemisphereLight(0xffffff, 0x8a8f98, 2.2));
  const sun = new T.DirectionalLight(0xffffff, 1.6);
  sun.position.set(-1, 2, 3);
  scene.add(sun);
  const camera = new T.PerspectiveCamera(32, 1, 0.05, 50);
  camera.position.set(1.2, 0.5, 4);
  const orbit = new T.OrbitControls(camera, renderer.domElement);
  orbit.target.set(0, -0.05, 0);
  orbit.update();

  const file = await new T.GLTFLoader().loadAsync(body);
  scene.add(file.scene);
  file.scene.traverse((thing) => { thing.frustumCulled = false; });
  const bones = joints.map((name) => file.scene.getObjectByName(name));
  const tint = makeTint(file.scene);
  const floor = new T.GridHelper(4, 16, 0x9aa3af, 0xc4cad3);
  scene.add(floor);

  // Dots and handles lie over the body, so that joints behind it can be chosen too.
  const dots = bones.map((bone, number) => {
    const handle = joints[number] in LIMBS;
    const shape = handle ? new T.BoxGeometry(0.06, 0.06, 0.06) : new T.SphereGeometry(0.018, 12, 10);
    const color = handle ? HANDLE : DOT;
    const paint = new T.MeshBasicMaterial({ color, depthTest: false, transparent: true, opacity: 0.85 });
    const dot = new T.Mesh(shape, paint);
    dot.renderOrder = 2;
    dot.userData = { number, color };
    scene.add(dot);
    return dot;
  });

  const rings = new T.TransformControls(camera, renderer.domElement);
  rings.setMode("rotate");
  rings.setSpace("local");
  rings.setSize(0.6);
  scene.add(rings.getHelper());

  let chosen = 0, dragged = null, asked = false, held = null;
  let free = new Set(joints.keys()); // the joints that may move
  const point = new T.Vector3(), plane = new T.Plane(), ray = new T.Raycaster(), pointer = new T.Vector2();

  function draw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      scene.updateMatrixWorld(true);
      let lowest = Infinity;
      dots.forEach((dot, number) => {
        bones[number].getWorldPosition(dot.position);
        lowest = Math.min(lowest, dot.position.y);
      });
      floor.position.y = lowest - 0.07;
      renderer.render(scene, camera);
    });
  }

  function choose(number) {
    chosen = number;
    dots.forEach((dot, joint) => {
      const color = joint === chosen ? CHOSEN : free.has(joint) ? dot.userData.color : LOCKED;
      dot.material.color.setHex(color);
      dot.material.opacity = free.has(joint) ? 0.85 : 0.4;
    });
    choice.value = String(chosen);
    if (free.has(chosen)) rings.attach(bones[chosen]); else rings.detach();
    announce(free.has(chosen) ? "" : `${label(chosen)} is locked.`);
    draw();
  }

  function announce(sentence) {
    const text = sentence && sentence[0].toUpperCase() + sentence.slice(1);
    if (status.textContent !== text) status.textContent = text;
  }

  // --- limits ----------------------------------------------------------------------------------------------------------

  const box = (joint) => (limited.checked ? bounds.box(joint, bones[joint].quaternion) : null);
  // Takes hold of a joint: from here on it may move within `held`.
  function hold(joint) { held = box(joint); }
  function keepWithin(joint) {
    const stopped = bounds.clamp(joint, bones[joint].quaternion, held);
    announce(stopped ? `${label(joint)} is at its limit.` : "");
  }

  // --- the pose in and out -------------------------------------------------------------------------------------------

  function axisAngle(quaternion) {
    const q = quaternion.clone().normalize();
    if (q.w < 0) q.set(-q.x, -q.y, -q.z, -q.w);
    const sine = Math.hypot(q.x, q.y, q.z);
    const scale = sine < 1e-9 ? 2 : (2 * Math.atan2(sine, q.w)) / sine;
    return [q.x * scale, q.y * scale, q.z * scale];
  }

  const numbersOf = (names) => new Set(names.flatMap((name) => parts[name]));
  function readPose() {
    const pose = JSON.parse(props.value);
    pose.axis_angle.forEach((vector, number) => {
      const axis = new T.Vector3(...vector), angle = axis.length();
      bones[number].quaternion.setFromAxisAngle(angle > 0 ? axis.divideScalar(angle) : new T.Vector3(1, 0, 0), angle);
    });
    before = bones.map((bone) => bone.quaternion.clone());
    free = numbersOf(pose.free ?? Object.keys(parts));
    [...choice.options].forEach((option, joint) => {
      option.textContent = label(joint) + (free.has(joint) ? "" : " (locked)");
    });
    tint(numbersOf(pose.changed ?? []));
    choose(chosen);
  }

  let own = props.value; // the last value that this widget wrote, which need not be read again
  let before = bones.map((bone) => bone.quaternion.clone()); // the rotations at the last update
  function commit() {
    const changed = Object.keys(parts).filter((name) => (
      parts[name].some((joint) => bones[joint].quaternion.angleTo(before[joint]) > CHANGED)
    ));
    if (bones.every((bone, joint) => bone.quaternion.angleTo(before[joint]) < 1e-4)) return; // a click, no change
    before = bones.map((bone) => bone.quaternion.clone());
    tint(numbersOf(changed));
    const pose = { ...JSON.parse(props.value), axis_angle: bones.map((bone) => axisAngle(bone.quaternion)), changed };
    own = JSON.stringify(pose);
    props.value = own;
    trigger("input");
    draw();
  }

  // --- changes -------------------------------------------------------------------------------------------------------

  const mirrored = (q) => new T.Quaternion(q.x, -q.y, -q.z, q.w); // reflected in the plane between left and right
  // Each gives the rotations of all joints; those of locked ones are not used.
  const turns = () => bones.map((bone) => bone.quaternion.clone());
  const identity = () => new T.Quaternion();
  const copied = (side) => bones.map((bone, number) => (
    joints[mirror[number]].startsWith(side) ? mirrored(bones[mirror[number]].quaternion) : bone.quaternion.clone()
  ));
  const changes = {
    mirror: () => bones.map((_, number) => mirrored(bones[mirror[number]].quaternion)),
    "copy-left": () => copied("left"),
    "copy-right": () => copied("right"),
    "reset-joint": () => turns().with(chosen, identity()),
    reset: () => bones.map(identity),
  };
  for (const [name, change] of Object.entries(changes)) {
    find(name).addEventListener("click", () => {
      change().forEach((turn, number) => { if (free.has(number)) bones[number].quaternion.copy(turn); });
      announce(free.size < joints.length ? "Locked limbs were left as they are." : "");
      commit();
    });
  }

  function aim(event) {
    const { left, top, width, height } = renderer.domElement.getBoundingClientRect();
    pointer.set(((event.clientX - left) / width) * 2 - 1, 1 - ((event.clientY - top) / height) * 2);
    ray.setFromCamera(pointer, camera);
  }

  // Where a joint is in the window, for scripts that drag it.
  view.positionOf = (name) => {
    const { left, top, width, height } = renderer.domElement.getBoundingClientRect();
    point.copy(dots[joints.indexOf(name)].position).project(camera);
    return [left + ((point.x + 1) / 2) * width, top + ((1 - point.y) / 2) * height];
  };

  // The number of the joint at the pointer, or -1. A finger hides what it points at, so it may be further off.
  function jointAt(event) {
    const near = event.pointerType === "touch" ? 28 : 13; // pixels
    const far = joints.map((name) => {
      const [x, y] = view.positionOf(name);
      return Math.hypot(x - event.clientX, y - event.clientY);
    });
    const nearest = far.indexOf(Math.min(...far));
    return far[nearest] < near ? nearest : -1;
  }

  // In the capture phase, so that looking about does not start where a dot is.
  view.addEventListener("pointerdown", (event) => {
    if (rings.axis) return; // on a ring
    const hit = jointAt(event);
    if (hit < 0) return;
    event.stopPropagation();
    view.focus({ preventScroll: true });
    choose(hit);
    const limb = LIMBS[joints[chosen]];
    if (!limb) return;
    const numbers = { middle: joints.indexOf(limb.middle), root: joints.indexOf(limb.root) };
    if (free.has(numbers.middle) && free.has(numbers.root)) {
      dragged = { limb, numbers, limits: bounds, held: null };
      dragged.bones = { end: bones[chosen], middle: bones[numbers.middle], root: bones[numbers.root] };
      if (limited.checked) dragged.held = { middle: box(numbers.middle), root: box(numbers.root) };
      rings.detach();
      plane.setFromNormalAndCoplanarPoint(camera.getWorldDirection(new T.Vector3()), dots[chosen].position);
      view.setPointerCapture(event.pointerId);
    }
  }, true);
  view.addEventListener("pointermove", (event) => {
    if (dragged === null) return;
    event.stopPropagation();
    aim(event);
    if (ray.ray.intersectPlane(plane, point)) {
      const stopped = reach(T, { ...dragged, target: point });
      announce(stopped ? `${label(dragged.numbers.root)} is at its limit.` : "");
    }
    draw();
  }, true);
  for (const end of ["pointerup", "pointercancel"]) {
    view.addEventListener(end, (event) => {
      if (dragged === null) return;
      event.stopPropagation();
      view.releasePointerCapture(event.pointerId);
      dragged = null;
      choose(chosen);
      commit();
    }, true);
  }
  view.addEventListener("keydown", (event) => {
    if (!(event.key in KEYS)) return;
    event.preventDefault();
    const [axis, sign] = KEYS[event.key];
    if (!free.has(chosen)) return announce(`${label(chosen)} is locked.`);
    const around = new T.Vector3().setComponent(axis, 1);
    hold(chosen);
    bones[chosen].quaternion.multiply(new T.Quaternion().setFromAxisAngle(around, sign * STEP));
    keepWithin(chosen);
    draw();
  });
  let pause = null; // several taps are one change
  view.addEventListener("keyup", (event) => {
    if (!(event.key in KEYS)) return;
    clearTimeout(pause);
    pause = setTimeout(commit, 500);
  });

  orbit.addEventListener("change", draw);
  rings.addEventListener("change", draw);
  rings.addEventListener("dragging-changed", (event) => {
    orbit.enabled = !event.value;
    if (event.value) hold(chosen); else commit();
  });
  rings.addEventListener("objectChange", () => keepWithin(chosen));
  joints.forEach((_, number) => choice.add(new Option(label(number), String(number))));
  choice.addEventListener("change", () => choose(Number(choice.value)));

  // A tab that is not shown has no size yet.
  new ResizeObserver(() => {
    const { clientWidth: width, clientHeight: height } = view;
    if (!width || !height) return;
    renderer.setSize(width, height);
    camera.aspect = width / height;
    camera.updateProjectionMatrix();
    draw();
  }).observe(view);

  watch("value", () => { if (props.value !== own) { own = props.value; readPose(); } });
  chosen = joints.indexOf("left_shoulder");
  readPose();
  view.dataset.ready = "true";
}
