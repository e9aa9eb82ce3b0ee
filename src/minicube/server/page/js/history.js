// The jobs that there are, the last one first.

import { api } from "./api.js";
import { h, when } from "./dom.js";

const WORDS = { open: "uploading", recognised: "to confirm", queued: "waiting", running: "running", done: "done", failed: "failed", cancelled: "cancelled" };
const list = document.getElementById("history");

export async function showHistory(current) {
  let jobs;
  try {
    jobs = await api.jobs();
  } catch {
    return; // the view says it
  }
  const items = jobs.map((job) => h("li", {},
    h("a", { href: `#/job/${job.id}`, "aria-current": job.id === current ? "page" : null },
      h("b", {}, job.title || "Untitled case"),
      h("span", { class: `state ${job.state}` }, WORDS[job.state]),
      h("span", { class: "state" }, ` · ${when(job.created)}`))));
  list.replaceChildren(...(items.length ? items : [h("li", { class: "faint small" }, "Nothing yet.")]));
}
