// The REST API. The key, where one is needed, lives in this tab alone and goes in a header.

import { h } from "./dom.js";

const KEY = "minicube-api-key";
let asking = null;

async function call(method, path, { json, body, headers = {} } = {}) {
  const key = sessionStorage.getItem(KEY);
  const all = { ...headers };
  if (key) all["X-API-Key"] = key;
  if (json !== undefined) all["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(`/api${path}`, { method, headers: all, body: json === undefined ? body : JSON.stringify(json) });
  } catch {
    throw { problem: "The server does not answer.", hint: "look whether minicube serve still runs" };
  }
  if (answer.status === 401) {
    await askForKey(key !== null);
    return call(method, path, { json, body, headers });
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw { problem: `The server answered ${answer.status}.`, ...told, status: answer.status };
  }
  return answer;
}

function askForKey(wrong) {
  asking ??= new Promise((resolve) => {
    const input = h("input", { type: "password", autocomplete: "off", "aria-label": "API key", required: true });
    const dialog = h("dialog", {
      oncancel: (event) => event.preventDefault(),
      onclose: () => { sessionStorage.setItem(KEY, input.value.trim()); dialog.remove(); asking = null; resolve(); },
    }, h("form", { method: "dialog" },
      h("h1", {}, "API key"),
      h("p", {}, wrong ? "That key does not open. Please try again." : "This server asks for its key. It is kept in this tab alone."),
      input, h("button", { class: "primary" }, "Open")));
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}

const asJson = async (...words) => (await call(...words)).json();
const raw = { "Content-Type": "application/octet-stream" };

export const api = {
  about: () => asJson("GET", "/about"),
  jobs: () => asJson("GET", "/jobs"),
  job: (id) => asJson("GET", `/jobs/${id}`),
  audit: () => asJson("GET", "/audit"),
  open: () => asJson("POST", "/jobs", { json: {} }),
  phantom: (wanted) => asJson("POST", "/phantoms", { json: wanted }),
  upload: (id, file) => asJson("POST", `/jobs/${id}/uploads`, { body: file, headers: { ...raw, "X-Filename": encodeURIComponent(file.name) } }),
  recognise: (id) => asJson("POST", `/jobs/${id}/recognise`),
  start: (id, wanted) => asJson("POST", `/jobs/${id}/start`, { json: wanted }),
  cancel: (id) => asJson("POST", `/jobs/${id}/cancel`),
  remove: (id) => call("DELETE", `/jobs/${id}`),
  file: async (id, name) => (await call("GET", `/jobs/${id}/files/${name}`)).blob(),
  correct: (id, bytes) => asJson("PUT", `/jobs/${id}/correction`, { body: bytes, headers: raw }),
};

export async function download(job, name) {
  const address = URL.createObjectURL(await api.file(job.id, name));
  h("a", { href: address, download: `minicube-${job.id.slice(0, 8)}-${name}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

export async function openReport(job) {
  const tab = window.open("", "_blank"); // before waiting: else it counts as a pop-up
  const address = URL.createObjectURL(await api.file(job.id, "report.html"));
  if (tab) tab.location = address;
  else h("a", { href: address, target: "_blank" }).click();
}
