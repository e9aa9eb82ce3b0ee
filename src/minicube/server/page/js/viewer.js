// NiiVue with a scan and one map over it. Knows nothing of jobs.

import { Niivue, NVImage } from "/page/vendor/niivue.js";

const VIEWS = { all: 3, axial: 0, coronal: 1, sagittal: 2, solid: 4 };
const STEPS = { ArrowLeft: [1, 0, 0], ArrowRight: [-1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0], PageUp: [0, 0, 1], PageDown: [0, 0, -1] };

export class Viewer {
  // canvas: to draw on; moved: told {mm, value} of the cross-hair.
  constructor(canvas, moved) {
    this.nv = new Niivue({
      backColor: [0, 0, 0, 1], crosshairColor: [0.95, 0.95, 0.95, 0.55], crosshairWidth: 1, crosshairGap: 6,
      fontColor: [0.75, 0.8, 0.88, 1], show3Dcrosshair: true, isRadiologicalConvention: true,
      multiplanarShowRender: 1, multiplanarLayout: 2, multiplanarPadPixels: 6, loadingText: "",
      dragAndDropEnabled: false, logLevel: "error", maxDrawUndoBitmaps: 32,
    });
    this.canvas = canvas;
    this.nv.onLocationChange = (where) => moved({ mm: [...where.mm].slice(0, 3), value: where.values?.[1]?.value ?? 0 });
    canvas.addEventListener("keydown", (event) => this.#step(event));
  }

  async start() {
    await this.nv.attachToCanvas(this.canvas);
    this.nv.setSliceType(VIEWS.all);
  }

  static async image(buffer, name) {
    return NVImage.loadFromUrl({ url: buffer, name, colorbarVisible: false });
  }

  // scan: an image; map: another, or null; classes: {value, colour: "#rrggbb", shown}.
  show(scan, map, classes, opacity) {
    this.nv.volumes = map === null ? [scan] : [scan, map];
    this.nv.back = scan;
    this.nv.overlays = this.nv.volumes.slice(1);
    if (map === null) this.nv.updateGLVolume();
    else this.paint(map, classes, opacity);
  }

  paint(map, classes, opacity) {
    map.setColormapLabel(table(classes));
    map.opacity = opacity;
    this.nv.updateGLVolume();
  }

  view(name) {
    this.nv.setSliceType(VIEWS[name]);
  }

  crosshair(shown) {
    this.nv.setCrosshairWidth(shown ? 1 : 0);
    this.nv.opts.show3Dcrosshair = shown;
    this.nv.drawScene();
  }

  radiological(on) {
    this.nv.setRadiologicalConvention(on);
  }

  // To the middle of the largest class shown, so that the first sight is of the tumour.
  goTo(map) {
    const [, nx, ny] = map.dimsRAS;
    const sum = [0, 0, 0];
    let count = 0;
    const ras = map.img2RAS();
    for (let index = 0; index < ras.length; index++) {
      if (ras[index] === 0) continue;
      sum[0] += index % nx;
      sum[1] += Math.floor(index / nx) % ny;
      sum[2] += Math.floor(index / (nx * ny));
      count++;
    }
    if (count === 0) return;
    const middle = sum.map((total) => Math.round(total / count));
    this.nv.scene.crosshairPos = this.nv.vox2frac(middle);
    this.nv.drawScene();
    this.nv.createOnLocationChange();
  }

  beginDrawing(labels, classes, opacity) {
    this.nv.setDrawColormap(table(classes.map((one) => ({ ...one, shown: true }))));
    this.nv.loadDrawing(labels);
    this.nv.setDrawOpacity(opacity);
    this.nv.setDrawingEnabled(true);
  }

  pen(value, filled, width) {
    this.nv.opts.penSize = width;
    this.nv.setPenValue(value, filled);
  }

  undo() {
    this.nv.drawUndo();
  }

  async drawing() {
    return this.nv.saveImage({ filename: "", isSaveDrawing: true });
  }

  endDrawing() {
    this.nv.setDrawingEnabled(false);
    this.nv.closeDrawing();
  }

  // Browsers keep few WebGL contexts: give this one back.
  end() {
    this.nv.cleanup();
    this.canvas.getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
  }

  #step(event) {
    const step = STEPS[event.key];
    if (!step || !this.nv.volumes.length) return;
    event.preventDefault();
    this.nv.moveCrosshairInVox(...step);
  }
}

function table(classes) {
  const part = (start) => [0, ...classes.map(({ colour }) => parseInt(colour.slice(start, start + 2), 16))];
  return {
    R: part(1), G: part(3), B: part(5),
    A: [0, ...classes.map(({ shown }) => (shown ? 255 : 0))],
    I: [0, ...classes.map(({ value }) => value)],
    labels: ["", ...classes.map(({ name }) => name)],
  };
}
