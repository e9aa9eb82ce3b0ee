// The first view: drop a case, or take a phantom.

import { api } from "./api.js";
import { h, problemBox, say, size } from "./dom.js";
import { dropped, send } from "./sending.js";

export function startView({ main, about }) {
  const told = h("div", {});
  const input = h("input", { type: "file", multiple: true, hidden: true, "aria-label": "Files of a case", onchange: () => begin([...input.files]) });
  const folder = h("input", { type: "file", webkitdirectory: true, hidden: true, "aria-label": "Folder of a case", onchange: () => begin([...folder.files]) });
  const zone = h("div", { class: "drop" },
    h("strong", {}, "Drop the scans of one case here"),
    about.dicom ? h("p", { class: "faint" }, "DICOM: a study as a folder, as files, or as a zip.") : null,
    h("p", { class: "faint" }, "NIfTI: T1, T1 with contrast, T2 and FLAIR, or a zip of them. A reference label map may come along."),
    h("div", { class: "row" },
      h("button", { type: "button", class: "primary", onclick: () => input.click() }, "Choose files"), input,
      h("button", { type: "button", onclick: () => folder.click() }, "Choose a folder"), folder),
    about.dicom ? null : h("p", { class: "faint small" }, "This server does not read DICOM yet. Whoever runs it can change that: ", h("code", {}, "pip install 'minicube[dicom]'")));
  zone.addEventListener("dragover", () => zone.classList.add("over"));
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", async (event) => { zone.classList.remove("over"); begin(await dropped(event.dataTransfer)); });

  const seed = h("input", { type: "number", min: "0", max: "2147483647", value: "7", id: "seed" });
  const family = h("select", { id: "family" }, h("option", { value: "b" }, "B – unlike what the shipped model learnt from"), h("option", { value: "a" }, "A – like what it learnt from"));

  main.replaceChildren(h("div", { class: "sheet" },
    h("div", {}, h("h1", {}, "New case"),
      h("p", { class: "faint" }, "Nothing leaves this server. ", about.prepares
        ? "Scans with the skull on, or on different grids, are registered and stripped first, which takes up to a minute or so."
        : "Scans must have the skull taken off and lie on one grid.")),
    told, zone,
    h("div", { class: "two" },
      h("section", { class: "card" }, h("h2", {}, "No scan at hand?"),
        h("p", {}, "A phantom is a made-up head with a made-up tumour, whose true labels are known."),
        h("div", { class: "row" }, h("label", { for: "family" }, "Family"), family),
        h("div", { class: "row" }, h("label", { for: "seed" }, "Number"), seed,
          h("button", { type: "button", onclick: makePhantom }, "Make and segment"))),
      h("section", { class: "card" }, h("h2", {}, "What happens to the files"),
        h("p", {}, about.keep_days ? `They stay on this server and are deleted ${about.keep_days} days after the last change, or at once when you say so.` : "They stay on this server until you delete them."),
        h("p", { class: "faint small" }, `Up to ${size(about.most_bytes)} a case. minicube ${about.version}.`)))));

  async function begin(files) {
    if (!files.length) return;
    const bar = h("progress", { max: 1, value: 0 });
    const line = h("p", {}, "");
    told.replaceChildren(h("div", { class: "card" }, line, bar));
    let job = null;
    try {
      job = await api.open();
      const over = await send(job, files, (words, share) => { line.textContent = words; bar.value = share; });
      if (over) say(over === 1 ? "One file that is no scan was passed over." : `${over} files that are no scans were passed over.`);
      location.hash = `#/job/${job.id}`;
    } catch (error) {
      if (job !== null) await api.remove(job.id).catch(() => {});
      told.replaceChildren(problemBox(error));
    }
  }

  async function makePhantom() {
    try {
      const job = await api.phantom({ seed: Number(seed.value), family: family.value });
      location.hash = `#/job/${job.id}`;
    } catch (error) {
      told.replaceChildren(problemBox(error));
    }
  }
}
