// The API as openapi.json describes it, without anything from elsewhere.

import { h, problemBox } from "./dom.js";

const main = document.getElementById("main");

try {
  draw(await (await fetch("/openapi.json")).json());
} catch (error) {
  main.replaceChildren(h("div", { class: "sheet" }, problemBox(error)));
}

function draw(api) {
  const routes = Object.entries(api.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, route]) => ({ path, method, route })));
  main.replaceChildren(h("div", { class: "sheet" },
    h("div", {}, h("h1", {}, `${api.info.title} ${api.info.version}`), h("p", {}, api.info.description)),
    h("p", { class: "faint" }, "Where a key is needed it goes in the header X-API-Key. What went wrong is answered as a Problem. The same as a file for tools: ", h("a", { href: "/openapi.json" }, "openapi.json"), "."),
    routes.map(({ path, method, route }) => h("section", { class: "card" },
      h("div", { class: "row" }, h("b", {}, method.toUpperCase()), h("code", {}, path)),
      h("p", {}, route.description ?? route.summary),
      table("Given", given(route)),
      table("Answered", answered(route)))),
    h("h1", {}, "Values"),
    Object.entries(api.components.schemas).filter(([name]) => !name.startsWith("HTTP")).map(([name, schema]) => h("section", { class: "card", id: name },
      h("b", {}, name), schema.description ? h("p", {}, schema.description) : null,
      schema.enum ? h("p", {}, schema.enum.join(", ")) : table("", Object.entries(schema.properties ?? {}).map(([field, kind]) => [field, words(kind), kind.description ?? ""]))))));
}

function given(route) {
  const rows = (route.parameters ?? []).map((one) => [one.name, `${one.in}, ${words(one.schema)}`, one.description ?? ""]);
  for (const [kind, { schema }] of Object.entries(route.requestBody?.content ?? {})) rows.push(["body", kind === "application/json" ? words(schema) : kind, ""]);
  return rows;
}

function answered(route) {
  return Object.entries(route.responses).filter(([status]) => status < "400").map(([status, answer]) => {
    const [kind, body] = Object.entries(answer.content ?? {})[0] ?? [];
    return [status, body?.schema?.$ref || body?.schema?.items ? words(body.schema) : kind ?? "nothing", ""];
  });
}

function words(schema = {}) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(words).join(" or ");
  if (schema.items) return `list of ${words(schema.items)}`;
  if (schema.additionalProperties) return `${words(schema.additionalProperties)} by name`;
  return schema.enum?.join(", ") ?? schema.const ?? schema.format ?? schema.type ?? "any";
}

function table(title, rows) {
  if (!rows.length) return null;
  return h("div", {}, title ? h("h2", {}, title) : null, h("table", {}, rows.map((cells) => h("tr", {}, cells.map((cell, index) => h("td", {}, index === 0 ? h("code", {}, cell) : String(cell)))))));
}
