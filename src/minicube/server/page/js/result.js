// A finished case: the scan with its labels, volumes, scores, files.

import { api, download, openReport } from "./api.js";
import { ask, h, ml, problemBox, say, seconds, size, swatch } from "./dom.js";
import { penTools } from "./pen.js";
import { Viewer } from "./viewer.js";

const DIFFERENCES = [
  { value: 1, colour: "#f0e442", name: "missed: in the reference alone" },
  { value: 2, colour: "#d55e00", name: "too much: in the labels alone" },
  { value: 3, colour: "#56b4e9", name: "tumour in both, of another class" },
];
const MAPS = {
  "labels.nii.gz": "Labels found", "correction.nii.gz": "Corrected labels",
  "reference.nii.gz": "Reference", "differences.nii.gz": "Differences",
};
const FILES = {
  "labels.nii.gz": MAPS["labels.nii.gz"], "seg.dcm": "Labels (DICOM)", ...MAPS,
  "report.html": "Report (HTML)", "report.dcm": "Report (DICOM)",
};
const VIEWS = { all: "All", axial: "Axial", coronal: "Coronal", sagittal: "Sagittal", solid: "3-D" };

export function resultView({ main, job, about, again }) {
  const tissues = Object.entries(about.tissues).map(([value, name]) => ({ value: Number(value), name, colour: about.colours[value] }));
  const hidden = new Set();
  const images = new Map();
  let mapName = job.correction ? "correction.nii.gz" : "labels.nii.gz";
  let scanName = "";
  let opacity = 0.5;
  let gone = false;

  const canvas = h("canvas", { tabindex: "0", "aria-label": "Scan with labels. Arrow keys and page up and down move the cross-hair." });
  const wait = h("div", { class: "wait" }, "Loading the scan");
  const where = h("div", { class: "where" }, "");
  const viewer = new Viewer(canvas, ({ mm, value }) => {
    const found = classes().find((one) => one.value === value);
    const [x, y, z] = mm.map((one) => one.toFixed(1));
    where.textContent = `x ${x}  y ${y}  z ${z} mm${found ? ` · ${found.name}` : ""}`;
  });

  const scans = Object.entries(about.sequences).filter(([name]) => scanFile(name));
  const first = ["t2f", "t1c", "t2w", "t1n"].find(scanFile); // some may be missing
  const sequences = buttons(scans, first, "Sequence", (name) => { scanName = scanFile(name); refresh(); });
  const views = buttons(Object.entries(VIEWS), "all", "View", (name) => viewer.view(name));
  const crosshair = toggle("Cross-hair", true, (on) => viewer.crosshair(on));
  const radiological = toggle("Radiological", true, (on) => viewer.radiological(on), "The patient's left is on the right");
  scanName = scanFile(first);

  const overlay = h("select", { "aria-label": "What lies over the scan", onchange: () => { mapName = overlay.value; hidden.clear(); drawClasses(); refresh(); } });
  const slider = h("input", { type: "range", min: "0", max: "1", step: "0.05", value: String(opacity), id: "opacity", oninput: () => { opacity = Number(slider.value); repaint(); } });
  const list = h("div", {});
  const penPlace = h("div", {});
  const panel = h("div", { class: "panel" },
    h("div", {}, h("h1", { class: "name" }, job.title || "Untitled case"),
      h("p", { class: "faint small" }, `${job.result.model} · ${seconds(job.result.seconds)}`)),
    job.result.warnings.map((text) => h("p", { class: "remark small" }, text)),
    h("section", {}, h("h2", {}, "Over the scan"), overlay,
      h("label", { class: "row", for: "opacity" }, h("span", {}, "Opacity"), slider), list),
    volumes(), scores(), penPlace, files(),
    h("button", { type: "button", class: "danger", onclick: remove }, "Delete with all its files"));

  main.replaceChildren(h("div", { class: "result" },
    h("div", { class: "stage" },
      h("div", { class: "strip" }, sequences, views, crosshair, radiological),
      h("div", { class: "canvas" }, canvas, wait), where),
    panel));
  fillOverlays();
  drawClasses();
  begin();
  return () => { gone = true; viewer.end(); };

  function scanFile(name) {
    return job.files.find((file) => file.name.startsWith(`${name}.nii`))?.name;
  }

  function classes() {
    return mapName === "differences.nii.gz" ? DIFFERENCES : tissues;
  }

  async function image(name) {
    if (!images.has(name)) {
      images.set(name, api.file(job.id, name).then((blob) => blob.arrayBuffer()).then((buffer) => Viewer.image(buffer, name)));
    }
    return images.get(name);
  }

  async function begin() {
    try {
      await viewer.start();
      await refresh();
      viewer.goTo(await image(mapName));
      wait.remove();
      canvas.dataset.ready = "yes"; // for tests
      penPlace.replaceChildren(penTools({ job, viewer, tissues, image, begun, ended }));
    } catch (error) {
      console.error(error);
      wait.replaceChildren(problemBox(error.problem ? error : { problem: "The picture cannot be drawn.", found: String(error.message ?? error), hint: "this needs WebGL2; the report and the files are there without it" }));
    }
  }

  async function refresh() {
    const [scan, map] = await Promise.all([image(scanName), image(mapName)]);
    if (!gone) viewer.show(scan, map, shownClasses(), opacity);
  }

  async function repaint() {
    const map = await image(mapName);
    if (!gone) viewer.paint(map, shownClasses(), opacity);
  }

  function shownClasses() {
    return classes().map((one) => ({ ...one, shown: !hidden.has(one.value) }));
  }

  function fillOverlays() {
    const there = Object.entries(MAPS).filter(([name]) => job.files.some((file) => file.name === name));
    overlay.replaceChildren(...there.map(([value, label]) => h("option", { value, selected: value === mapName }, label)));
  }

  function drawClasses() {
    const rows = mapName === "correction.nii.gz" ? job.correction.tissues : mapName === "labels.nii.gz" ? job.result.tissues : [];
    const amounts = new Map(rows.map((row) => [row.value, row.ml]));
    list.replaceChildren(...classes().map((one) => h("label", { class: "class" },
      h("input", { type: "checkbox", checked: !hidden.has(one.value), onchange: (event) => { event.target.checked ? hidden.delete(one.value) : hidden.add(one.value); repaint(); } }),
      swatch(one.colour), h("span", {}, one.name),
      h("span", { class: "ml" }, amounts.has(one.value) ? ml(amounts.get(one.value)) : ""))));
  }

  function volumes() {
    const titles = { WT: "whole tumour", TC: "tumour core", ET: "enhancing tumour" };
    return h("section", {}, h("h2", {}, "Volumes found"), h("table", {},
      Object.entries(job.result.regions_ml).map(([name, amount]) => h("tr", {},
        h("td", {}, `${titles[name]} (${name})`), h("td", { class: "number" }, ml(amount))))));
  }

  function scores() {
    if (!job.result.scores.length) return null;
    const number = (value, digits) => (value === null ? "–" : value.toFixed(digits));
    return h("section", {}, h("h2", {}, "Against the reference"), h("table", {},
      h("tr", {}, h("th", {}, "Region"), ["Dice", "HD95 mm", "reference"].map((head) => h("th", { class: "number" }, head))),
      job.result.scores.map((row) => h("tr", {}, h("td", { title: row.title }, row.region),
        h("td", { class: "number" }, number(row.dice, 3)), h("td", { class: "number" }, number(row.hd95_mm, 1)),
        h("td", { class: "number" }, ml(row.reference_ml))))),
    job.result.score_notes.map((note) => h("p", { class: "faint small" }, note)));
  }

  function files() {
    const there = Object.keys(FILES).map((name) => job.files.find((file) => file.name === name)).filter(Boolean);
    return h("section", {}, h("h2", {}, "Report and files"),
      h("button", { type: "button", class: "primary", onclick: () => openReport(job).catch((error) => say(error.problem)) }, "Open the report"),
      h("div", { class: "downloads" },
        there.map((file) => h("button", { type: "button", title: `${file.name}, ${size(file.size)}`, onclick: () => fetchFile(file.name) }, FILES[file.name]))));
  }

  function fetchFile(name) {
    download(job, name).then(() => say("Saved in your downloads."), (error) => say(error.problem));
  }

  async function begun() {
    opacity = Number(slider.value);
    viewer.show(await image(scanName), null);
    for (const control of [overlay, ...list.querySelectorAll("input")]) control.disabled = true;
  }

  async function ended(saved) {
    if (saved) return again();
    overlay.disabled = false;
    drawClasses();
    refresh();
  }

  async function remove() {
    if (!(await ask("Delete this case?", "Scans, labels and corrections are deleted from the server. This cannot be undone.", "Delete"))) return;
    await api.remove(job.id).catch((error) => say(error.problem));
    location.hash = "#/";
  }
}

function buttons(entries, chosen, label, pick) {
  const all = entries.map(([name, text]) => h("button", { type: "button", "aria-pressed": String(name === chosen), onclick: (event) => {
    for (const one of all) one.setAttribute("aria-pressed", String(one === event.currentTarget));
    pick(name);
  } }, text.replace("T1 with contrast", "T1+C")));
  return h("div", { class: "group", role: "group", "aria-label": label }, all);
}

function toggle(label, on, set, title = null) {
  return h("label", { class: "row small", title }, h("input", { type: "checkbox", checked: on, onchange: (event) => set(event.target.checked) }), label);
}
