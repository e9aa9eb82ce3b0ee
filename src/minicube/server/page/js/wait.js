// A job that waits, runs, or came to nothing.

import { api } from "./api.js";
import { ask, h, problemBox, say, seconds } from "./dom.js";

const EVERY = 700; // milliseconds; asked rather than pushed, since the key goes in a header

export function waitView({ main, job, again }) {
  let timer = 0;
  let gone = false;
  draw(job);
  if (isAlive(job)) timer = setTimeout(look, EVERY);
  return () => { gone = true; clearTimeout(timer); };

  async function look() {
    try {
      const now = await api.job(job.id);
      if (gone) return;
      if (!isAlive(now)) return again();
      draw(now);
    } catch (error) {
      if (gone) return;
      if (error.status === 404) return again();
      say(error.problem);
    }
    timer = setTimeout(look, EVERY);
  }

  function draw(now) {
    main.replaceChildren(h("div", { class: "sheet" },
      h("h1", {}, now.title || "Untitled case"),
      body(now),
      h("div", { class: "row" },
        isAlive(now) ? h("button", { type: "button", id: "cancel", onclick: cancel }, "Cancel") : h("a", { class: "button primary", href: "#/" }, "New case"),
        isAlive(now) ? null : h("button", { type: "button", class: "danger", onclick: remove }, "Delete with all its files"))));
  }

  async function cancel() {
    await api.cancel(job.id).catch((error) => say(error.problem));
    again();
  }

  async function remove() {
    if (!(await ask("Delete this case?", "Scans and results are deleted from the server. This cannot be undone.", "Delete"))) return;
    await api.remove(job.id).catch((error) => say(error.problem));
    location.hash = "#/";
  }
}

function isAlive(job) {
  return job.state === "queued" || job.state === "running";
}

function body(job) {
  if (job.state === "failed") return problemBox(job.error);
  if (job.state === "cancelled") return h("div", { class: "card" }, h("p", {}, "This job was cancelled. Its files are still there until you delete them."));
  if (job.state === "queued") {
    const words = job.ahead ? `Waiting: ${job.ahead} before this one.` : "About to begin.";
    return h("div", { class: "card" }, h("p", { role: "status" }, words), h("progress", { "aria-label": "waiting" }));
  }
  const progress = job.progress;
  if (!progress) return h("div", { class: "card" }, h("p", { role: "status" }, "Getting ready."), h("progress", { "aria-label": "getting ready" }));
  const known = progress.left !== null;
  const left = known ? `about ${seconds(progress.left)} left` : "time left unknown: no such case has been finished here yet";
  const bar = known
    ? h("progress", { "aria-label": "progress", max: 1, value: progress.elapsed / (progress.elapsed + progress.left || 1) })
    : h("progress", { "aria-label": "running" });
  const here = progress.stages.indexOf(progress.stage);
  return h("div", { class: "card" },
    h("p", { role: "status" }, `${seconds(progress.elapsed)} gone, ${left}`), bar,
    h("ol", { class: "steps" }, progress.stages.map((stage, index) => h("li", { class: index < here ? "past" : index === here ? "now" : "next" }, stage))));
}
