// SPDX-License-Identifier: Apache-2.0
// What posing.js needs of three.js, for the bundler:
//     npm install three@0.187.0 esbuild@0.25
//     npx esbuild three_entry.js --bundle --minify --format=esm --legal-comments=inline --outfile=three.min.js
export {
  BoxGeometry, DirectionalLight, GridHelper, HemisphereLight, Mesh, MeshBasicMaterial, PerspectiveCamera, Plane,
  Quaternion, Raycaster, Scene, SphereGeometry, Vector2, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
export { TransformControls } from "three/addons/controls/TransformControls.js";
export { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
