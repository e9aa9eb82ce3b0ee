// Which view is shown: the address after # says it, so that links and the back button work.

import { api } from "./api.js";
import { h, problemBox, say } from "./dom.js";
import { showHistory } from "./history.js";
import { confirmView } from "./confirm.js";
import { resultView } from "./result.js";
import { startView } from "./start.js";
import { waitView } from "./wait.js";

const main = document.getElementById("main");
let leave = () => {};
let about = null;
let turn = 0;

const VIEWS = {
  open: confirmView, recognised: confirmView,
  queued: waitView, running: waitView, failed: waitView, cancelled: waitView,
  done: resultView,
};

async function show() {
  const mine = ++turn;
  leave();
  leave = () => {};
  const id = location.hash.match(/^#\/job\/([0-9a-f]{32})$/)?.[1] ?? null;
  try {
    about ??= await api.about();
    const job = id === null ? null : await api.job(id);
    if (mine !== turn) return;
    const view = job === null ? startView : VIEWS[job.state];
    leave = view({ main, job, about, again: show }) ?? (() => {});
  } catch (error) {
    if (mine === turn) main.replaceChildren(h("div", { class: "sheet" }, problemBox(error)));
  }
  showHistory(id);
}

function setUpTheme() {
  const root = document.documentElement;
  const kept = localStorage.getItem("minicube-theme");
  if (kept) root.dataset.theme = kept;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : !matchMedia("(prefers-color-scheme: light)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("minicube-theme", root.dataset.theme);
  });
}

async function showLog() {
  const lines = await api.audit().catch((error) => { say(error.problem); return []; });
  const rows = lines.map((line) => h("tr", {},
    h("td", {}, new Date(line.time).toLocaleString()), h("td", {}, line.who), h("td", {}, line.action),
    h("td", {}, h("code", {}, line.job.slice(0, 8)))));
  const dialog = h("dialog", { onclose: () => dialog.remove() },
    h("div", { class: "stack" },
      h("h1", {}, "Audit log"),
      h("p", { class: "faint small" }, "Who did what, the newest first. No name of a file or a patient is in it."),
      h("div", { class: "scroll" }, h("table", {},
        h("tr", {}, ["Time", "From", "What", "Job"].map((head) => h("th", {}, head))), rows)),
      h("form", { method: "dialog" }, h("button", {}, "Close"))));
  document.body.append(dialog);
  dialog.showModal();
}

setUpTheme();
document.getElementById("log").addEventListener("click", showLog);
addEventListener("hashchange", show);
// A file dropped beside the field must not replace the page.
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
show();
