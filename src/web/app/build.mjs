// Builds the pages' files into ../dist: one script and one style sheet per entry, the texts of each language, each with a
// hash in its name and compressed, and `table.in`, from which the program embeds them. The same sources give the same bytes
// on every machine: compilers and compressors are those of the lock file, none is Node's own.
//
//   node build.mjs [DIRECTORY]
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { gzipSync } from "fflate";

const brotli = createRequire(import.meta.url)("brotli-wasm");
const here = dirname(fileURLToPath(import.meta.url));
const dist = process.argv[2] ?? join(here, "../dist");

// Names that pages use (`web::assets::path`), and their sources. A worker comes before the script that starts it.
const ENTRIES = [
  ["solver.js", "storefront/solver.ts"],
  ["storefront.js", "storefront/main.ts"],
  ["storefront.css", "storefront/main.css"],
  ["console.js", "console/main.ts"],
  ["console.css", "console/main.css"],
  ["docs.css", "shared/docs.css"],
  ["icon.svg", "shared/icon.svg"],
  ["firstcome-drop.js", "component/main.ts"],
];

const MEDIA = { ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml" };

// The texts of the component: those that its own sources name, of every language, in its one file.
const COMPONENT_TEXTS =
  /^((state|clock|time|try|lost|component)\.|problem\.(?!bid-too-low)|drop\.(each|left|held|sold|limit|quantity|fewer|more|reserve_total|reserving|promise|not_yet|paused|paused_text|ended|ended_text|sold_out_\w+|next_return|came_back|have_order|open_order|offline)\b|order\.(number|item|amount|left|reserved|awaiting|paid|paid_text|expired|expired_text|cancelled|cancelled_by_shop|cancelled_text|refund_due|refund_due_text|refunded_title|refunded_text|proceed|give_back|sending|email|phone|address|optional)$|standby\.(?!chip|keep_page)|blind\.(title|text|wait|soon|leave|left|missed|missed_text|rule\.\w+)$|room\.(closed|open|opens_in|starts_in|keep_open|rule_\w+|drawing_text|take|taking|number|drawing|line|place|ahead|waiting_text|short_text\.\w+|turn|turn_text|turn_none|turn_paused|passed|passed_text|none)$)/;
const componentTexts = {
  name: "component-texts",
  setup(build) {
    build.onResolve({ filter: /^component-texts$/ }, ({ path }) => ({ path, namespace: "texts" }));
    build.onLoad({ filter: /.*/, namespace: "texts" }, async () => {
      const all = {};
      for (const language of languages) {
        const texts = Object.entries(JSON.parse(await readFile(join(here, `texts/${language}.json`), "utf8")));
        all[language] = Object.fromEntries(texts.filter(([key]) => COMPONENT_TEXTS.test(key)));
      }
      return { contents: JSON.stringify(all), loader: "json" };
    });
  },
};

async function compile(source, define) {
  if (extname(source) === ".svg") return readFile(join(here, source));
  const { outputFiles } = await build({
    absWorkingDir: here,
    entryPoints: [source],
    bundle: true,
    write: false,
    minify: true,
    format: "esm",
    target: ["es2022"],
    charset: "utf8",
    legalComments: "none",
    plugins: [componentTexts],
    define,
    logLevel: "warning",
  });
  return outputFiles[0].contents;
}

function hashed(entry, bytes) {
  const hash = createHash("sha256").update(bytes).digest("base64url").replaceAll(/[-_]/g, "").slice(0, 10);
  return `${basename(entry, extname(entry))}.${hash}${extname(entry)}`;
}

const assets = [];
const define = {};
async function add(entry, bytes) {
  const file = hashed(entry, bytes);
  define[`ASSET_${entry.replaceAll(/\W/g, "_").toUpperCase()}`] = JSON.stringify(`/assets/${file}`);
  const gzip = gzipSync(bytes, { level: 9, mtime: 0 });
  gzip[9] = 255; // the operating system: unknown
  await writeFile(join(dist, file), bytes);
  await writeFile(join(dist, `${file}.gz`), gzip);
  await writeFile(join(dist, `${file}.br`), brotli.compress(bytes, { quality: 11 }));
  assets.push({ entry, file, media: MEDIA[extname(entry)] });
}

const languages = (await readdir(join(here, "texts"))).filter((file) => file.endsWith(".json")).map((file) => basename(file, ".json")).sort();
await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });
for (const language of languages) {
  const texts = JSON.parse(await readFile(join(here, `texts/${language}.json`), "utf8"));
  await add(`texts-${language}.js`, new TextEncoder().encode(`globalThis.firstcomeTexts=${JSON.stringify(texts)};\n`));
}
for (const [entry, source] of ENTRIES) await add(entry, await compile(source, define));

const rows = assets.map(
  ({ entry, file, media }) =>
    `    Asset {\n        entry: "${entry}",\n        file: "${file}",\n        media_type: "${media}",\n` +
    `        plain: include_bytes!("${file}"),\n        brotli: include_bytes!("${file}.br"),\n        gzip: include_bytes!("${file}.gz"),\n    },\n`,
);
const names = languages.map((language) => `    ("${language}", include_str!("../app/texts/${language}.json")),\n`);
await writeFile(
  join(dist, "table.in"),
  `// Made by src/web/app/build.mjs.\nconst ASSETS: &[Asset] = &[\n${rows.join("")}];\n\nconst LANGUAGES: &[(&str, &str)] = &[\n${names.join("")}];\n`,
);
