// Which file is which: guessed by the server, decided by a person.

import { api } from "./api.js";
import { ask, h, problemBox, say, size } from "./dom.js";
import { send } from "./sending.js";

export function confirmView({ main, job, about, again }) {
  const told = h("div", {});
  const roles = { ...about.sequences, reference: "Reference labels" };
  const sizes = Object.fromEntries(job.uploads.map((upload) => [upload.stored, upload.size]));
  const choices = new Map();
  const study = job.series.some((series) => series.dicom);
  const rejected = job.series.filter((series) => series.dicom?.rejected);
  const rows = job.series.filter((series) => !series.dicom?.rejected).map(row);
  const passedOver = rejected.length ? h("details", { class: "card", open: !rows.length },
    h("summary", {}, `${rejected.length} series passed over, and why`), h("table", {}, rejected.map(row))) : null;

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
    h("div", {}, h("h1", {}, "Is this right?"), h("p", { class: "faint" }, study ? "Each series with the sequence it looks like, how far what is known speaks for it (0 to 1), and why. Please check, and change what is wrong." : "Each file with the sequence it looks like. Please check, and change what is wrong.")),
    told,
    job.remarks.map((remark) => h("p", { class: "remark small" }, remark)),
    h("div", { class: "card" }, rows.length
      ? h("table", {}, h("tr", {}, h("th", {}, study ? "Series" : "File"), h("th", {}, "Sequence")), rows)
      : h("p", {}, "No scan has been recognised yet.")),
    passedOver, schemeRow, verdict,
    h("div", { class: "row" }, go,
      h("button", { type: "button", onclick: () => more.click() }, "Add files"), more,
      h("button", { type: "button", class: "danger", onclick: discard }, "Discard"))));
  check();

  function row(series) {
    const doubts = [series.dicom ? "" : series.role === null ? "not recognised by its name" : series.certain ? "" : "several files look like this", series.remark];
    return h("tr", {},
      h("td", { class: "name" },
        series.dicom ? h("span", { class: "faint" }, `${series.dicom.number} · `) : null, series.name,
        h("div", { class: "faint small" }, [series.dicom ? `${series.dicom.images} images` : "", series.grid, sizes[series.stored] ? size(sizes[series.stored]) : ""].filter(Boolean).join(", ")),
        series.dicom ? h("div", { class: "small" }, reasons(series.dicom)) : null),
      h("td", { class: "choice" }, series.dicom?.grid_number === null ? null : choice(series),
        doubts.filter(Boolean).map((text) => h("div", { class: "small danger" }, text))));
  }

  function choice(series) {
    const offered = Object.entries(roles).filter(([value]) => !(series.dicom && value === "reference"));
    const select = h("select", { "aria-label": `What ${series.name} is`, onchange: check },
      h("option", { value: "" }, "Leave out"),
      offered.map(([value, label]) => h("option", { value, selected: value === series.role }, label)));
    choices.set(series.key, select);
    return select;
  }

  function reasons({ scores, reasons: why, rejected: against }) {
    if (against) return against;
    const [likeliest, score] = Object.entries(scores).sort(([, one], [, other]) => other - one)[0];
    return [h("b", {}, `${roles[likeliest]} ${score.toFixed(2)}`), ` – ${why.join("; ")}`];
  }

  function chosen() {
    return Object.fromEntries([...choices].map(([key, choice]) => [key, choice.value]).filter(([, role]) => role));
  }

  function check() {
    const given = Object.values(chosen());
    const missing = Object.keys(about.sequences).filter((role) => !given.includes(role));
    const twice = given.filter((role, index) => given.indexOf(role) !== index);
    schemeRow.hidden = !given.includes("reference");
    schemeRow.style.display = schemeRow.hidden ? "none" : "";
    const taken = job.series.filter((series) => choices.get(series.key)?.value && choices.get(series.key).value !== "reference");
    const all = study && taken.every((series) => series.dicom);
    const enough = all ? missing.length === 0 : ["t1c", "t2w", "t2f"].some((role) => given.includes(role));
    const base = taken.find((series) => choices.get(series.key).value === "t1c") ?? taken[0];
    const apart = taken.filter((series) => series.dicom?.grid_number !== base.dicom?.grid_number);
    const stuck = all && apart.length > 0 && !about.prepares;
    go.disabled = !enough || twice.length > 0 || stuck;
    verdict.textContent = twice.length ? `Given twice: ${[...new Set(twice)].map((role) => roles[role]).join(", ")}.`
      : stuck ? `${named(apart)} and ${named([base])} lie on different grids, and this server does not register them.`
      : !enough && all ? `Of a DICOM study all four sequences are needed. Which series is ${missing.map((role) => roles[role]).join(", which is ")}?`
      : !enough ? "At least one of T1 with contrast, T2 and FLAIR is needed."
      : missing.length ? `Without ${missing.map((role) => roles[role]).join(", ")} what is found is less sure. Add the files if there are any.`
        : all && apart.length ? `All four sequences are there. ${named(apart)} and ${named([base])} lie on different grids, and are registered first.`
          : "All four sequences are there.";
  }

  function named(some) {
    return some.map((series) => roles[choices.get(series.key).value]).join(", ");
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
      await send(job, [...more.files], say);
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
