// Builds static/dist from src: one script, one stylesheet, an icon sprite and what they refer to.
import { context } from "esbuild";
import * as sass from "sass";
import { cp, mkdir, readFile, rm, writeFile, readdir } from "node:fs/promises";
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { ICONS } from "./src/icons.mjs";

const DIST = new URL("../static/dist/", import.meta.url).pathname;
const HERE = new URL("./", import.meta.url).pathname;

// Tabler draws its controls with data: URLs, which `default-src 'self'` refuses: they become files.
async function tabler() {
  const { css } = sass.compile(`${HERE}src/css/tabler.scss`, {
    loadPaths: [`${HERE}node_modules`], style: "compressed", quietDeps: true, logger: sass.Logger.silent,
  });
  const files = new Map();
  const text = css.replace(/url\("data:image\/svg\+xml,([^"]*)"\)/g, (_, data) => {
    const svg = decodeURIComponent(data);
    const name = `tabler-${createHash("sha256").update(svg).digest("hex").slice(0, 8)}.svg`;
    files.set(name, svg);
    return `url("./${name}")`;
  });
  if (text.includes("data:image")) throw new Error("a data: URL is left in the stylesheet");
  for (const [name, svg] of files) await writeFile(`${DIST}${name}`, svg);
  return `@layer tabler{${text.replace(/@charset[^;]*;|\uFEFF/g, "")}}\n`;
}

async function sprite() {
  const symbols = await Promise.all(ICONS.map(async (name) => {
    const svg = await readFile(`${HERE}node_modules/@tabler/icons/icons/outline/${name}.svg`, "utf8");
    const inner = svg.replace(/^[\s\S]*?<svg[^>]*>/, "").replace("</svg>", "")
      .replace(/<path stroke="none"[^>]*\/>/, "").replace(/\s*\n\s*/g, "");
    return `<symbol id="${name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round">${inner}</symbol>`;
  }));
  await writeFile(`${DIST}icons.svg`, `<svg xmlns="http://www.w3.org/2000/svg">\n${symbols.join("\n")}\n</svg>\n`);
}

async function licences() {
  const parts = ["@tabler/core", "@tabler/icons", "htmx.org", "@fontsource-variable/inter", "uplot"];
  const texts = await Promise.all(parts.map(async (name) => {
    const { version } = JSON.parse(await readFile(`${HERE}node_modules/${name}/package.json`, "utf8"));
    const file = (await readdir(`${HERE}node_modules/${name}`)).find((f) => /^licen[cs]e/i.test(f));
    const text = file ? await readFile(`${HERE}node_modules/${name}/${file}`, "utf8") : "MIT License. https://github.com/tabler/tabler";
    return `${name} ${version}\n${"=".repeat(40)}\n${text.trim()}\n`;
  }));
  await writeFile(`${DIST}LICENSES.txt`, texts.join("\n\n"));
}

const bundle = {
  absWorkingDir: HERE,
  entryPoints: { admin: "src/admin.js", app: "src/app.js", boot: "src/boot.js", style: "src/css/app.css" },
  outdir: DIST,
  bundle: true,
  minify: true,
  format: "iife",
  target: ["chrome120", "firefox121", "safari17"],
  loader: { ".woff2": "file", ".svg": "file" },
  assetNames: "[name]",
  legalComments: "none",
  logLevel: "warning",
  plugins: [{
    name: "finish",
    setup(build) {
      build.onEnd(async (result) => {
        if (result.errors.length) return;
        const own = await readFile(`${DIST}style.css`, "utf8");
        await writeFile(`${DIST}app.css`, `@layer tabler,fleetd;\n${await tabler()}${own}`);
        await rm(`${DIST}style.css`);
        await sprite();
        await licences();
        await report();
      });
    },
  }],
};

async function report() {
  for (const name of (await readdir(DIST)).sort()) {
    const data = await readFile(`${DIST}${name}`).catch(() => null);
    if (data) console.log(`${name.padEnd(40)} ${String(data.length).padStart(8)} bytes  ${String(gzipSync(data, { level: 9 }).length).padStart(7)} gz`);
  }
}

// Only what this writes: the admin's files lie here too.
await mkdir(DIST, { recursive: true });
for (const name of await readdir(DIST)) if (/^tabler-.*\.svg$/.test(name)) await rm(`${DIST}${name}`);
await cp(`${HERE}src/brand`, DIST, { recursive: true });
const ctx = await context(bundle);
if (process.argv.includes("--watch")) await ctx.watch();
else {
  await ctx.rebuild();
  await ctx.dispose();
}
