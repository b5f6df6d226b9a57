// Pages of the server itself: operators' tokens, backups, and the checks before a sale.
import { act, type Field } from "./dialog";
import { dropsOf } from "./drops";
import { bytes, length, millis } from "./format";
import { wordsFor, type Words } from "./problems";
import { ask, may, session } from "./session";
import type { Backup, Drop, OperatorToken, Page, Preflight, Setting } from "./shapes";
import { stream } from "./stream";

const DAY_SECONDS = 86_400;

const TOKEN_FIELDS: Field[] = [
  { name: "name", label: "Name of its holder", kind: "text", value: "", help: "Letters, digits and .-_@; it stands in the log and in the audit." },
  {
    name: "role", label: "Role", kind: "select", value: "operator",
    options: [
      { value: "viewer", label: "viewer: reads figures, drops and the audit" },
      { value: "operator", label: "operator: runs sales, refunds and contacts" },
      { value: "owner", label: "owner: everything, tokens and backups too" },
    ],
  },
  {
    name: "days", label: "Ends", kind: "select", value: "90",
    options: [
      { value: "1", label: "in a day" },
      { value: "7", label: "in a week" },
      { value: "30", label: "in 30 days" },
      { value: "90", label: "in 90 days" },
      { value: "365", label: "in a year" },
      { value: "never", label: "never" },
    ],
  },
];

export function tokensPage() {
  return {
    tokens: [] as OperatorToken[],
    isLoaded: false,
    problem: null as Words | null,
    /** The token that was made last, with its secret: it is shown once. */
    secret: "",
    command: "firstcome token create --role owner --name NAME --data DIR",
    changed: () => {},
    init(this: { load(): Promise<void>; changed: () => void }) {
      if (!may("owner")) return;
      void this.load();
      this.changed = () => void this.load();
      document.addEventListener("firstcome:changed", this.changed);
    },
    destroy(this: { changed: () => void }) {
      document.removeEventListener("firstcome:changed", this.changed);
    },
    async load(this: { tokens: OperatorToken[]; isLoaded: boolean; problem: Words | null }) {
      const answer = await ask<Page<OperatorToken>>("/v1/tokens");
      if (answer.kind !== "lost") this.problem = wordsFor(answer);
      if (answer.kind !== "ok") return;
      this.tokens = answer.body.data;
      this.isLoaded = true;
    },
    create(this: { secret: string }) {
      act({
        title: "New token",
        lines: ["The token is shown once, when it is made. Give it to its holder by a way that others cannot read."],
        confirm: "Make the token",
        fields: TOKEN_FIELDS,
        hasNoReason: true,
        run: ({ name, role, days }, key) => {
          const end = days === "never" ? {} : { expires_at: new Date(Date.now() + Number(days) * DAY_SECONDS * 1000).toISOString().replace(/\.\d+/, "") };
          return ask("/v1/tokens", { method: "POST", body: { name, role, ...end }, headers: { "Idempotency-Key": key } });
        },
        done: (body) => {
          const made = body as OperatorToken;
          this.secret = made.token ?? "";
          return made.token ? `The token of ${made.name} is made.` : `The token of ${made.name} was made before, and its secret is lost: revoke it, and make another.`;
        },
      });
    },
    revoke(token: OperatorToken) {
      act({
        title: `Revoke the token of ${token.name}`,
        lines: [`Token ${token.id} with the role ${token.role}.`, "What its holder has open ends at once. A revoked token is never in force again."],
        confirm: "Revoke for good",
        isDangerous: true,
        typed: token.name,
        hasNoReason: true,
        run: () => ask(`/v1/tokens/${token.id}`, { method: "DELETE" }),
        done: () => `The token of ${token.name} is revoked.`,
      });
    },
    stateTone: (state: string): string => (state === "in_force" ? "good" : ""),
    needsToken: (): boolean => session.me?.needs_token ?? false,
  };
}

export function backupsPage() {
  return {
    backup: null as Backup | null,
    settings: [] as Setting[],
    isLoaded: false,
    problem: null as Words | null,
    timer: 0,
    changed: () => {},
    init(this: { load(): Promise<void>; timer: number; changed: () => void }) {
      void this.load();
      this.changed = () => void this.load();
      this.timer = window.setInterval(() => void this.load(), 3000);
      document.addEventListener("firstcome:changed", this.changed);
    },
    destroy(this: { timer: number; changed: () => void }) {
      clearInterval(this.timer);
      document.removeEventListener("firstcome:changed", this.changed);
    },
    async load(this: { backup: Backup | null; settings: Setting[]; isLoaded: boolean; problem: Words | null }) {
      if (may("operator") && this.settings.length === 0) {
        const answer = await ask<Page<Setting>>("/v1/settings");
        if (answer.kind === "ok") this.settings = answer.body.data;
      }
      if (may("owner")) {
        const answer = await ask<Backup>("/v1/backup");
        const isNone = answer.kind === "problem" && answer.problem.status === 404;
        if (answer.kind !== "lost") this.problem = isNone ? null : wordsFor(answer);
        if (answer.kind === "ok") this.backup = answer.body;
      }
      this.isLoaded = true;
    },
    setting(this: { settings: Setting[] }, key: string): string {
      return this.settings.find((one) => one.key === key)?.value ?? "";
    },
    every(this: { setting(key: string): string }): string {
      const seconds = Number(this.setting("backup.every_seconds"));
      return seconds > 0 ? length(seconds) : "never";
    },
    tiles() {
      const frame = stream.frame;
      const gauge = (name: string) => frame?.gauges[name] ?? 0;
      const hasOne = gauge("backup_bytes") > 0;
      const interval = gauge("backup_interval_seconds");
      const age = frame ? Date.parse(frame.at) / 1000 - gauge("backup_last_seconds") : 0;
      const isOld = interval > 0 && age > interval * 2;
      const failed = gauge("backups_failed");
      return [
        { label: interval > 0 || hasOne ? "Newest backup" : "Since the start", value: frame ? ageWords(age) : "–", note: interval > 0 || hasOne ? "ago" : "no backup is known", level: isOld ? "bad" : hasOne || interval > 0 ? "good" : "warn" },
        { label: "Size", value: hasOne ? bytes(gauge("backup_bytes")) : "–", note: hasOne ? `made in ${millis(gauge("backup_took_seconds") * 1000)}` : "none since the start", level: "" },
        { label: "Schedule", value: interval > 0 ? length(interval) : "off", note: interval > 0 ? "between two backups" : "set backup.every_seconds", level: interval > 0 ? "" : "warn" },
        { label: "Made / failed", value: `${gauge("backups_made")} / ${failed}`, note: "since the start", level: failed > 0 ? "bad" : "" },
      ];
    },
    make(this: { setting(key: string): string }) {
      act({
        title: "Make a backup now",
        lines: ["The server copies its database while the sale goes on, and verifies the copy. It has everything, contacts of buyers too."],
        confirm: "Make it",
        fields: [
          { name: "to", label: "Directory or file on the server's machine", kind: "text", value: this.setting("backup.directory"), help: "An absolute path, on another disk than the data." },
          {
            name: "compression", label: "Packing", kind: "select", value: this.setting("backup.compression") || "zstd",
            options: [{ value: "zstd", label: "zstd" }, { value: "gzip", label: "gzip" }, { value: "none", label: "none" }],
          },
        ],
        hasNoReason: true,
        run: (values) => ask("/v1/backup", { method: "POST", body: values }),
        done: () => "The backup is being made.",
      });
    },
    size: bytes,
  };
}

function ageWords(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 100) return `${whole} s`;
  if (whole < 5400) return `${Math.round(whole / 60)} min`;
  return whole < 172_800 ? `${Math.round(whole / 3600)} h` : `${Math.round(whole / DAY_SECONDS)} days`;
}

const ORDER = { fail: 0, warn: 1, pass: 2 };

export function preflightPage() {
  return {
    drops: [] as Drop[],
    dropId: "",
    report: null as Preflight | null,
    isBusy: false,
    problem: null as Words | null,
    async init(this: { drops: Drop[]; dropId: string }) {
      if (!may("operator")) return;
      this.drops = (await dropsOf(100))?.filter((drop) => drop.state !== "ended") ?? [];
      const [first] = this.drops;
      if (first) this.dropId = String(first.id);
    },
    async run(this: { dropId: string; report: Preflight | null; isBusy: boolean; problem: Words | null }) {
      this.isBusy = true;
      const answer = await ask<Preflight>(`/v1/preflight${this.dropId ? `?drop_id=${this.dropId}` : ""}`);
      this.isBusy = false;
      this.problem = wordsFor(answer);
      if (answer.kind === "ok") this.report = answer.body;
    },
    /** The checks, those that need something done first. */
    checks(this: { report: Preflight | null }) {
      return [...(this.report?.checks ?? [])].sort((a, b) => ORDER[a.verdict] - ORDER[b.verdict]);
    },
    verdictTone: (verdict: string): string => (verdict === "pass" ? "good" : verdict === "warn" ? "warn" : "bad"),
    summary(this: { report: Preflight | null }): string {
      const report = this.report;
      if (!report) return "";
      const words = report.fail > 0 ? "Not ready for a sale" : report.warn > 0 ? "A sale can go ahead; know the warnings" : "Ready for a sale";
      return `${words}: ${report.pass} pass, ${report.warn} warn, ${report.fail} fail.`;
    },
    command(this: { dropId: string }): string {
      return `firstcome preflight ${this.dropId || "DROP"} --config firstcome.toml --backup FILE --alertmanager URL`;
    },
  };
}
