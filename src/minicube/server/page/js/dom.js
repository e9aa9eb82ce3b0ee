// Elements made in one call. Text is always text: nothing from outside is ever read as markup.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

let timer = 0;

export function say(text) {
  const box = document.getElementById("said");
  box.textContent = text;
  box.classList.add("shown");
  clearTimeout(timer);
  timer = setTimeout(() => box.classList.remove("shown"), 4500);
}

export function problemBox(error) {
  const told = error.problem ?? String(error.message ?? error);
  const lines = [["Expected", error.expected], ["Found", error.found], ["What to do", error.hint]];
  return h("div", { class: "problem", role: "alert" },
    h("b", {}, told),
    lines.filter(([, text]) => text).map(([label, text]) => h("p", { class: "small" }, `${label}: ${text}`)));
}

export function ask(title, text, yes, danger = true) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { onclose: () => { resolve(dialog.returnValue === "yes"); dialog.remove(); } },
      h("form", { method: "dialog" },
        h("h1", {}, title), h("p", {}, text),
        h("div", { class: "row" },
          h("button", { value: "yes", class: danger ? "danger" : "primary" }, yes),
          h("button", { value: "no" }, "Back"))));
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function swatch(colour) {
  const box = h("span", { class: "swatch" });
  box.style.background = colour ?? "transparent";
  return box;
}

export const ml = (value) => value === null ? "not determinable" : `${value < 10 ? value.toFixed(2) : value.toFixed(1)} ml`;

export function seconds(value) {
  if (value < 1) return "a moment";
  if (value < 90) return `${Math.round(value)} s`;
  return `${Math.round(value / 60)} min`;
}

export function when(text) {
  const moment = new Date(text);
  const today = moment.toDateString() === new Date().toDateString();
  const time = moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return today ? time : `${moment.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}

export function size(bytes) {
  if (bytes < 1 << 20) return `${Math.max(1, Math.round(bytes / 1024))} KB`;
  if (bytes < 2 ** 30) return `${(bytes / 2 ** 20).toFixed(1)} MB`;
  return `${Math.round(bytes / 2 ** 30)} GB`;
}
