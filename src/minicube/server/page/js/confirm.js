// Which file is which: guessed by the server, decided by a person.

import { api } from "./api.js";
import { ask, h, problemBox, say, size } from "./dom.js";

export function confirmView({ main, job, about, again }) {
  const told = h("div", {});
  const roles = { ...about.sequences, reference: "Reference labels" };
  const sizes = Object.fromEntries(job.uploads.map((upload) => [upload.stored, upload.size]));
  const choices = new Map();

  const rows = job.series.map((series) => {
    const choice = h("select", { "aria-label": `What ${series.name} is`, onchange: check },
      h("option", { value: "" }, "Leave out"),
      Object.entries(roles).map(([value, label]) => h("option", { value, selected: value === series.role }, label)));
    choices.set(series.key, choice);
    const doubt = series.role === null ? "not recognised by its name" : series.certain ? "" : "several files look like this";
    return h("tr", {},
      h("td", { class: "name" }, series.name, h("div", { class: "faint small" }, series.grid, sizes[series.stored] ? `, ${size(sizes[series.stored])}` : "")),
      h("td", {}, choice, [doubt, series.remark].filter(Boolean).map((text) => h("div", { class: "small danger" }, text))));
  });

  const scheme = h("select", { id: "scheme" },
    h("option", { value: "" }, "As the file says"),
    Object.entries(about.label_schemes).map(([value, legend]) => h("option", { value }, `${value}: ${legend}`)));
  const schemeRow = h("div", { class: "card" },
    h("label", { for: "scheme" }, "What the reference's values mean"), scheme,
    h("p", { class: "faint small" }, "The same numbers mean different tissues in different data sets."));
  const verdict = h("p", { role: "status" });
  const go = h("button", { class: "primary", type: "button", onclick: start }, "Segment");
  const more = h("input", { type: "file", multiple: true, hidden: true, "aria-label": "More files", onchange: add });

  main.replaceChildren(h("div", { class: "sheet" },
    h("div", {}, h("h1", {}, "Is this right?"), h("p", { class: "faint" }, "Each file with the sequence it looks like. Please check, and change what is wrong.")),
    told,
    job.remarks.map((remark) => h("p", { class: "remark small" }, remark)),
    h("div", { class: "card" }, rows.length
      ? h("table", {}, h("tr", {}, h("th", {}, "File"), h("th", {}, "Sequence")), rows)
      : h("p", {}, "No scan has been recognised yet.")),
    schemeRow, verdict,
    h("div", { class: "row" }, go,
      h("button", { type: "button", onclick: () => more.click() }, "Add files"), more,
      h("button", { type: "button", class: "danger", onclick: discard }, "Discard"))));
  check();

  function chosen() {
    return Object.fromEntries([...choices].map(([key, choice]) => [key, choice.value]).filter(([, role]) => role));
  }

  function check() {
    const given = Object.values(chosen());
    const missing = Object.keys(about.sequences).filter((role) => !given.includes(role));
    const twice = given.filter((role, index) => given.indexOf(role) !== index);
    schemeRow.hidden = !given.includes("reference");
    schemeRow.style.display = schemeRow.hidden ? "none" : "";
    const enough = ["t1c", "t2w", "t2f"].some((role) => given.includes(role));
    go.disabled = !enough || twice.length > 0;
    verdict.textContent = twice.length ? `Given twice: ${[...new Set(twice)].map((role) => roles[role]).join(", ")}.`
      : !enough ? "At least one of T1 with contrast, T2 and FLAIR is needed."
      : missing.length ? `Without ${missing.map((role) => roles[role]).join(", ")} what is found is less sure. Add the files if there are any.`
        : "All four sequences are there.";
  }

  async function start() {
    go.disabled = true;
    try {
      await api.start(job.id, { roles: chosen(), reference_labels: scheme.value || null });
      again();
    } catch (error) {
      told.replaceChildren(problemBox(error));
      check();
    }
  }

  async function add() {
    try {
      for (const file of more.files) {
        say(`Uploading ${file.name}`);
        await api.upload(job.id, file);
      }
      await api.recognise(job.id);
      again();
    } catch (error) {
      told.replaceChildren(problemBox(error));
    }
  }

  async function discard() {
    if (!(await ask("Discard this case?", "Its files are deleted from the server.", "Discard"))) return;
    await api.remove(job.id).catch((error) => say(error.problem));
    location.hash = "#/";
  }
}
