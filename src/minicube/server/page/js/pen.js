// Correcting labels by hand: NiiVue's pen, and the way back to the server.

import { api } from "./api.js";
import { h, say, swatch } from "./dom.js";

export function penTools({ job, viewer, tissues, image, begun, ended }) {
  const source = job.correction ? "correction.nii.gz" : "labels.nii.gz";
  const place = h("section", {});
  rest();
  return place;

  function rest() {
    const told = job.correction ? `${job.correction.changed_voxels} voxels differ from what was found.` : "Drawn over a copy: what was found stays as it is.";
    place.replaceChildren(h("h2", {}, "Correct by hand"),
      h("p", { class: "faint small" }, told),
      h("button", { type: "button", onclick: begin }, job.correction ? "Go on correcting" : "Correct the labels"));
  }

  async function begin() {
    const classes = [...tissues, { value: 0, name: "nothing (rubber)" }];
    let value = tissues[0].value;
    const width = h("input", { type: "range", min: "1", max: "9", step: "2", value: "3", id: "width", oninput: set });
    const filled = h("input", { type: "checkbox", onchange: set });
    const choices = classes.map((one) => h("label", { class: "class" },
      h("input", { type: "radio", name: "pen", checked: one.value === value, onchange: () => { value = one.value; set(); } }),
      swatch(one.colour), h("span", {}, one.name)));
    await begun();
    viewer.beginDrawing(await image(source), tissues, 0.6);
    set();
    place.replaceChildren(h("h2", {}, "Correct by hand"),
      h("p", { class: "faint small" }, "Drag on a plane to draw."),
      ...choices,
      h("label", { class: "row", for: "width" }, "Width", width),
      h("label", { class: "row" }, filled, "Fill what the line encloses"),
      h("div", { class: "row" },
        h("button", { type: "button", class: "primary", onclick: save }, "Save"),
        h("button", { type: "button", onclick: () => viewer.undo() }, "Undo"),
        h("button", { type: "button", onclick: () => { viewer.endDrawing(); rest(); ended(false); } }, "Discard")));

    function set() {
      viewer.pen(value, filled.checked, Number(width.value));
    }
  }

  async function save() {
    try {
      await api.correct(job.id, await viewer.drawing());
      viewer.endDrawing();
      say("The corrected labels are kept beside those found.");
      ended(true);
    } catch (error) {
      say(error.problem ?? String(error));
    }
  }
}
