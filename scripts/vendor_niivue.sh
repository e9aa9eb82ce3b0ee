#!/usr/bin/env bash
# Make the page's copy of NiiVue anew: for maintainers, when its version changes. Needs npm.
#
#   scripts/vendor_niivue.sh
#
# One file of what the page uses. The decoders of Zarr archives (1.4 MB) are left out: the page
# opens NIfTI alone, and NiiVue asks for them only when a Zarr archive is opened.
set -euo pipefail
niivue=0.69.0
esbuild=0.28.2
target="$(cd "$(dirname "$0")/.." && pwd)/src/minicube/server/page/vendor"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --ignore-scripts --save-exact "@niivue/niivue@$niivue" "esbuild@$esbuild"
echo 'export { Niivue, NVImage } from "@niivue/niivue";' >entry.js
npx esbuild entry.js --bundle --minify --format=esm --target=es2022 '--external:numcodecs/*' \
  --legal-comments=none --metafile=meta.json --outfile="$target/niivue.js"
node - "$target/LICENSES.txt" <<'JS'
const fs = require("fs");
const inputs = Object.keys(JSON.parse(fs.readFileSync("meta.json")).inputs);
const names = [...new Set(inputs.flatMap(path => path.match(/node_modules\/((@[^/]+\/)?[^/]+)/)?.[1] ?? []))];
const parts = names.sort().map(name => {
  const folder = `node_modules/${name}`;
  const { version, license } = JSON.parse(fs.readFileSync(`${folder}/package.json`));
  const file = fs.readdirSync(folder).find(entry => /^licen[cs]e/i.test(entry));
  const text = file ? fs.readFileSync(`${folder}/${file}`, "utf8").trim() : "see LICENSE-niivue.txt";
  return `${name} ${version} (${license})\n\n${text}\n`;
});
fs.writeFileSync(process.argv[2], parts.join(`\n${"-".repeat(72)}\n\n`));
JS
ls -l "$target"
