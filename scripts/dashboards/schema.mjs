// Checks the dashboards against Grafana's types (tsc), and rules that types cannot express: unique ids, no overlaps, and
// queries that use the variables.
//
//   node scripts/dashboards/schema.mjs DIRECTORY-FOR-SCRATCH
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const boards = resolve(here, "../../dashboards");
const scratch = resolve(process.argv[2]);
const wrong = [];

function unique(what, values) {
  for (const value of new Set(values)) {
    if (values.filter((other) => other === value).length > 1) wrong.push(`${what}: ${value} twice`);
  }
}

function overlap(one, other) {
  const [a, b] = [one.gridPos, other.gridPos];
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

const names = readdirSync(boards).filter((name) => name.endsWith(".json"));
const uids = [];
const imports = [];
for (const name of names) {
  const text = readFileSync(join(boards, name), "utf8");
  const board = JSON.parse(text);
  uids.push(board.uid);
  unique(`${name}: id`, board.panels.map((panel) => panel.id));
  const variables = board.templating.list.map((variable) => variable.name);
  for (const needed of ["source", "instance"]) {
    if (!variables.includes(needed)) wrong.push(`${name}: no variable ${needed}`);
  }
  // The choice of drops stands on boards that use it, and on no other.
  if (variables.includes("drop") !== JSON.stringify(board.panels).includes("$drop")) wrong.push(`${name}: the variable drop`);
  for (const variable of board.templating.list.filter((variable) => variable.type === "query")) {
    if (variable.datasource.uid !== "${source}") wrong.push(`${name}: ${variable.name} has another data source`);
  }
  board.panels.forEach((panel, index) => {
    const where = `${name}: ${panel.title}`;
    const above = board.panels.slice(0, index).find((other) => overlap(panel, other));
    if (above) wrong.push(`${where}: overlaps ${above.title}`);
    if (panel.gridPos.x + panel.gridPos.w > 24) wrong.push(`${where}: wider than the page`);
    if (panel.type === "row") return;
    unique(`${where}: query`, panel.targets.map((target) => target.refId));
    for (const source of [panel.datasource, ...panel.targets.map((target) => target.datasource)]) {
      if (source.uid !== "${source}") wrong.push(`${where}: a data source that is not the variable`);
    }
    for (const { expr } of panel.targets) {
      // Members of etcd are no instances of this program.
      const chosen = expr.includes('instance=~"$instance"') || expr.includes('job="etcd"');
      if (!chosen) wrong.push(`${where}: the query lacks the variable instance: ${expr}`);
    }
  });
  const file = name.replace(".json", ".ts");
  imports.push(file);
  const types = relative(scratch, join(here, "types.ts")).replace(/\.ts$/, "");
  writeFileSync(join(scratch, file), `import type { Board } from "${types}";\nexport const board: Board = ${text};\n`);
}
unique("uid", uids);
if (names.length !== 7) wrong.push(`seven dashboards, not ${names.length}`);

const options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"];
try {
  execFileSync(join(here, "node_modules/.bin/tsc"), [...options, ...imports], { cwd: scratch, encoding: "utf8" });
} catch (error) {
  wrong.push(error.stdout);
}
if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  process.exit(1);
}
console.log(`${names.length} dashboards match Grafana's types`);
