// SPDX-License-Identifier: Apache-2.0
// Poses a body by hand: joints are turned by rings or keys, hands and feet dragged by inverse kinematics.
// `props.value` is the pose as JSON text, as Pose.to_dict writes it. Local rotations are relative to the T-pose, so a
// bone's quaternion is the joint's rotation.

const STEP = (5 * Math.PI) / 180;
const KEYS = {
  ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [1, -1], ArrowRight: [1, 1], PageUp: [2, 1], PageDown: [2, -1],
};
// The joints that follow a dragged hand or foot, from its end inwards.
const LIMBS = {
  left_wrist: ["left_elbow", "left_shoulder"],
  right_wrist: ["right_elbow", "right_shoulder"],
  left_ankle: ["left_knee", "left_hip"],
  right_ankle: ["right_knee", "right_hip"],
};
const ROUNDS = 12; // of cyclic coordinate descent for each movement of the pointer
const DOT = 0x2563eb, CHOSEN = 0xf97316, HANDLE = 0x16a34a;

export async function start({ element, props, trigger, watch, body, joints, mirror, three }) {
  const T = await import(three);
  const view = element.querySelector(".posing-view");
  const find = (name) => element.querySelector(`[data-do="${name}"]`);
  const choice = find("joint");
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

  let chosen = 0, dragged = null, asked = false;
  const place = new T.Vector3(), plane = new T.Plane(), ray = new T.Raycaster(), pointer = new T.Vector2();

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
    dots[chosen].material.color.setHex(dots[chosen].userData.color);
    chosen = number;
    dots[chosen].material.color.setHex(CHOSEN);
    choice.value = String(chosen);
    rings.attach(bones[chosen]);
    draw();
  }

  // --- the pose in and out -------------------------------------------------------------------------------------------

  function axisAngle(quaternion) {
    const q = quaternion.clone().normalize();
    if (q.w < 0) q.set(-q.x, -q.y, -q.z, -q.w);
    const sine = Math.hypot(q.x, q.y, q.z);
    const scale = sine < 1e-9 ? 2 : (2 * Math.atan2(sine, q.w)) / sine;
    return [q.x * scale, q.y * scale, q.z * scale];
  }

  function readPose() {
    const pose = JSON.parse(props.value);
    pose.axis_angle.forEach((vector, number) => {
      const axis = new T.Vector3(...vector), angle = axis.length();
      bones[number].quaternion.setFromAxisAngle(angle > 0 ? axis.divideScalar(angle) : new T.Vector3(1, 0, 0), angle);
    });
    draw();
  }

  let own = props.value; // what this widget wrote last, which need not be read again
  function tell() {
    const pose = { ...JSON.parse(props.value), axis_angle: bones.map((bone) => axisAngle(bone.quaternion)) };
    own = JSON.stringify(pose);
    props.value = own;
    trigger("input");
    draw();
  }

  // --- changes -------------------------------------------------------------------------------------------------------

  const mirrored = (q) => new T.Quaternion(q.x, -q.y, -q.z, q.w); // reflected in the plane between left and right
  const changes = {
    mirror() {
      const turned = bones.map((_, number) => mirrored(bones[mirror[number]].quaternion));
      turned.forEach((q, number) => bones[number].quaternion.copy(q));
    },
    "copy-left": () => copy("left"),
    "copy-right": () => copy("right"),
    "reset-joint": () => bones[chosen].quaternion.identity(),
    reset: () => bones.forEach((bone) => bone.quaternion.identity()),
  };
  function copy(side) {
    joints.forEach((name, number) => {
      if (name.startsWith(side)) bones[mirror[number]].quaternion.copy(mirrored(bones[number].quaternion));
    });
  }
  for (const [name, change] of Object.entries(changes)) find(name).addEventListener("click", () => { change(); tell(); });

  // Cyclic coordinate descent: each joint in turn points the end of its limb at the target.
  function reach(end, target) {
    const to = new T.Vector3(), from = new T.Vector3(), at = new T.Vector3(), turn = new T.Quaternion();
    const world = new T.Quaternion(), parent = new T.Quaternion();
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const name of LIMBS[joints[end]]) {
        const bone = bones[joints.indexOf(name)];
        bone.getWorldPosition(at);
        from.copy(bones[end].getWorldPosition(from)).sub(at).normalize();
        to.copy(target).sub(at).normalize();
        turn.setFromUnitVectors(from, to);
        bone.getWorldQuaternion(world);
        bone.parent.getWorldQuaternion(parent);
        bone.quaternion.copy(parent.invert().multiply(turn).multiply(world)).normalize();
        bone.updateWorldMatrix(false, true);
      }
    }
  }

  function aim(event) {
    const box = renderer.domElement.getBoundingClientRect();
    pointer.set(((event.clientX - box.left) / box.width) * 2 - 1, 1 - ((event.clientY - box.top) / box.height) * 2);
    ray.setFromCamera(pointer, camera);
  }

  // In the capture phase, so that looking about does not start where a dot is.
  view.addEventListener("pointerdown", (event) => {
    if (rings.axis) return; // on a ring
    aim(event);
    const [hit] = ray.intersectObjects(dots);
    if (!hit) return;
    event.stopPropagation();
    choose(hit.object.userData.number);
    if (joints[chosen] in LIMBS) {
      dragged = chosen;
      rings.detach();
      plane.setFromNormalAndCoplanarPoint(camera.getWorldDirection(new T.Vector3()), dots[chosen].position);
      view.setPointerCapture(event.pointerId);
    }
  }, true);
  view.addEventListener("pointermove", (event) => {
    if (dragged === null) return;
    event.stopPropagation();
    aim(event);
    if (ray.ray.intersectPlane(plane, place)) reach(dragged, place);
    draw();
  }, true);
  view.addEventListener("pointerup", (event) => {
    if (dragged === null) return;
    event.stopPropagation();
    view.releasePointerCapture(event.pointerId);
    dragged = null;
    rings.attach(bones[chosen]);
    tell();
  }, true);
  view.addEventListener("keydown", (event) => {
    if (!(event.key in KEYS)) return;
    event.preventDefault();
    const [axis, sign] = KEYS[event.key];
    const around = new T.Vector3().setComponent(axis, 1);
    bones[chosen].quaternion.multiply(new T.Quaternion().setFromAxisAngle(around, sign * STEP));
    draw();
  });
  let pause = null; // several taps are one change
  view.addEventListener("keyup", (event) => {
    if (!(event.key in KEYS)) return;
    clearTimeout(pause);
    pause = setTimeout(tell, 500);
  });

  orbit.addEventListener("change", draw);
  rings.addEventListener("change", draw);
  rings.addEventListener("dragging-changed", (event) => {
    orbit.enabled = !event.value;
    if (!event.value) tell();
  });
  joints.forEach((name, number) => choice.add(new Option(name.replace("_", " "), String(number))));
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
  readPose();
  choose(joints.indexOf("left_shoulder"));
  view.dataset.ready = "true";
}
