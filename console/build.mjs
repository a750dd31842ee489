// Builds the console into dist/: bundles with hashed names, each also compressed.
//
//   node build.mjs            writes dist/
//   node build.mjs --check    fails where dist/ is not what the sources give, or is too large
//   node build.mjs --dev DIR  writes an uncompressed build elsewhere

import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, brotliDecompressSync, constants, gunzipSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const KIB = 1024;
/** What a first visit may load, and all that there is, compressed by gzip. */
const FIRST_LOAD = 80 * KIB;
const ALL = 150 * KIB;

const options = {
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  charset: "utf8",
  write: false,
  absWorkingDir: HERE,
  logLevel: "warning",
};

const hashed = (name, bytes) => {
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 10);
  const dot = name.lastIndexOf(".");
  return `assets/${name.slice(0, dot)}.${hash}${name.slice(dot)}`;
};

/** The files of the console by name, and which of them a first visit loads. */
async function bundle() {
  const files = new Map();
  const put = (name, bytes) => {
    const path = hashed(name, bytes);
    files.set(path, Buffer.from(bytes));
    return path;
  };
  const one = async (entry, more = {}) =>
    (await build({ ...options, ...more, entryPoints: [join("src", entry)] })).outputFiles[0].contents;

  const icon = put("icon.svg", await readFile(join(HERE, "src/icon.svg")));
  const manifest = {
    name: "aod",
    short_name: "aod",
    start_url: "/",
    display: "standalone",
    icons: [{ src: `/${icon}`, sizes: "any", type: "image/svg+xml" }],
  };
  const manifestPath = put("manifest.webmanifest", JSON.stringify(manifest));
  const worker = put("worker.js", await one("worker.ts"));
  // What the page is made of: its script, what that imports at once, and what it imports when it is
  // looked at. Their names have hashes of their own, by which they name one another.
  const { outputFiles, metafile } = await build({
    ...options,
    format: "esm",
    splitting: true,
    metafile: true,
    outdir: join(HERE, "assets"),
    entryNames: "[name].[hash]",
    chunkNames: "part.[hash]",
    entryPoints: [join("src", "main.tsx")],
    define: { WORKER: JSON.stringify(`/${worker}`) },
  });
  for (const { path, contents } of outputFiles) files.set(`assets/${basename(path)}`, Buffer.from(contents));
  const outputs = Object.entries(metafile.outputs);
  const main = outputs.find(([, it]) => it.entryPoint === "src/main.tsx")[0];
  const atOnce = new Set([main]);
  for (const name of atOnce) {
    for (const it of metafile.outputs[name].imports) if (it.kind === "import-statement") atOnce.add(it.path);
  }
  const preloads = [...atOnce].filter((it) => it !== main);
  const style = put("main.css", await one("styles/main.css"));
  const page = (await readFile(join(HERE, "src/index.html"), "utf8"))
    .replace("ICON", `/${icon}`)
    .replace("MANIFEST", `/${manifestPath}`)
    .replace("STYLE", `/${style}`)
    .replace("PRELOADS\n", preloads.map((it) => `<link rel="modulepreload" href="/${it}">\n`).join(""))
    .replace("MAIN", `/${main}`);
  files.set("index.html", Buffer.from(page));
  return { files, first: ["index.html", icon, manifestPath, style, ...atOnce] };
}

const gzip = (bytes) => gzipSync(bytes, { level: 9 });
const brotli = (bytes) =>
  brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } });

async function weigh({ files, first }) {
  const size = (name) => gzip(files.get(name)).length;
  const sum = (names) => names.reduce((total, name) => total + size(name), 0);
  const [load, all] = [sum(first), sum([...files.keys()])];
  const kib = (bytes) => `${(bytes / KIB).toFixed(1)} KiB`;
  console.log(`first load ${kib(load)} of ${kib(FIRST_LOAD)}, all ${kib(all)} of ${kib(ALL)} (gzip)`);
  if (load > FIRST_LOAD || all > ALL) throw new Error("the console is larger than its budget");
}

async function write(folder, { files }, compressed) {
  await rm(folder, { recursive: true, force: true });
  for (const [name, bytes] of files) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
    if (compressed) {
      await writeFile(`${path}.gz`, gzip(bytes));
      await writeFile(`${path}.br`, brotli(bytes));
    }
  }
}

/** Compares dist/ with what the sources give. Compressed files are compared by their content: other
    versions of Node compress otherwise. */
async function check(folder, { files }) {
  const there = (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(folder.length + 1));
  const wanted = [...files.keys()].flatMap((name) => [name, `${name}.gz`, `${name}.br`]);
  const odd = [...there.filter((name) => !wanted.includes(name)), ...wanted.filter((name) => !there.includes(name))];
  const differ = [];
  for (const [name, bytes] of files) {
    if (!there.includes(name)) continue;
    const path = join(folder, name);
    const same =
      bytes.equals(await readFile(path)) &&
      bytes.equals(gunzipSync(await readFile(`${path}.gz`))) &&
      bytes.equals(brotliDecompressSync(await readFile(`${path}.br`)));
    if (!same) differ.push(name);
  }
  if (odd.length + differ.length > 0) {
    const list = [...odd, ...differ].map((name) => `  ${name}`).join("\n");
    throw new Error(`console/dist is not what its sources give; run \`cargo xtask console\`:\n${list}`);
  }
}

const built = await bundle();
const dist = join(HERE, "dist");
const [mode, folder] = process.argv.slice(2);
try {
  if (mode === "--dev") await write(folder, built, false);
  else {
    await weigh(built);
    if (mode === "--check") await check(dist, built);
    else await write(dist, built, true);
  }
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
