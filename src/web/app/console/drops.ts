// Drops: the list, one drop with its levers, the form, and the undo of the last orders.
import { read, say, type Field } from "./dialog";
import { fromLocalField, length, many, price, toLocalField, typedMoney } from "./format";
import { wordsFor, type Words } from "./problems";
import { emptyRoom, fieldNames, roomFields, roomMistake, roomPreview, roomTexts, withRoom } from "./rooms";
import { go } from "./routes";
import { ask } from "./session";
import type { Drop, Page, UndoReport } from "./shapes";
import { stream } from "./stream";

const RANK = { live: 0, paused: 1, sold_out: 2, scheduled: 3, ended: 4 };

/** Returns the drops that matter first: live ones before paused, scheduled and ended ones, the newest before older ones. */
export async function dropsOf(most: number): Promise<Drop[] | null> {
  const found: Drop[] = [];
  let after = 0;
  for (let pages = 0; pages < 20; pages += 1) {
    const answer = await ask<Page<Drop>>(`/v1/console/drops?limit=100&after=${after}`);
    if (answer.kind !== "ok") return null;
    found.push(...answer.body.data);
    if (!answer.body.has_more || !answer.body.next_after) break;
    after = answer.body.next_after;
  }
  found.sort((a, b) => RANK[a.state] - RANK[b.state] || b.id - a.id);
  return found.slice(0, most);
}

/** The newest figures of a drop: those of the stream, where it has them. */
export function stockOf(drop: Drop): { total: number; available: number; held: number; sold: number } {
  return stream.frame?.drops.find((known) => known.id === drop.id) ?? drop;
}

export function dropsPage() {
  return {
    drops: [] as Drop[],
    isLoaded: false,
    problem: null as Words | null,
    filter: "",
    timer: 0,
    init(this: { load(): Promise<void>; timer: number }) {
      void this.load();
      this.timer = window.setInterval(() => void this.load(), 5000);
    },
    destroy(this: { timer: number }) {
      clearInterval(this.timer);
    },
    async load(this: { drops: Drop[]; isLoaded: boolean }) {
      const drops = await dropsOf(2000);
      if (!drops) return;
      this.drops = drops;
      this.isLoaded = true;
    },
    shown(this: { drops: Drop[]; filter: string }) {
      const words = this.filter.toLowerCase().trim();
      return this.drops.filter((drop) => !words || `${drop.id} ${drop.name} ${drop.sku} ${drop.state}`.toLowerCase().includes(words)).slice(0, 200);
    },
  };
}

export function dropPage(id: string) {
  return {
    drop: null as Drop | null,
    problem: null as Words | null,
    timer: 0,
    init(this: { load(): Promise<void>; timer: number }) {
      void this.load();
      this.timer = window.setInterval(() => void this.load(), 3000);
    },
    destroy(this: { timer: number }) {
      clearInterval(this.timer);
    },
    async load(this: { drop: Drop | null; problem: Words | null }) {
      const answer = await ask<Drop>(`/v1/console/drops/${id}`);
      this.problem = this.drop && answer.kind === "lost" ? null : wordsFor(answer);
      if (answer.kind === "ok") this.drop = answer.body;
    },
    terms(this: { drop: Drop | null }) {
      const drop = this.drop;
      if (!drop) return [];
      const limits = Object.entries(drop.identity_limits ?? {}).map(([kind, most]) => `${most} per ${kind}`);
      return [
        { name: "Price", value: price(drop.unit_price, drop.currency) },
        { name: "SKU", value: drop.sku },
        { name: "Per buyer", value: String(drop.per_buyer_limit) },
        { name: "Reserved for", value: length(drop.reservation_seconds) },
        { name: "Payment within", value: length(drop.payment_seconds) },
        { name: "Caps", value: limits.join(", ") || "none" },
        { name: "Challenge", value: drop.challenge ? `${drop.challenge.replaceAll("_", " ")} below ${drop.challenge_below ?? "verified"}` : "none" },
        ...(drop.blind_ms === undefined ? [] : [{ name: "Blind window", value: `${drop.blind_ms} ms` }]),
        ...(drop.standby === undefined ? [] : [{ name: "Standing by", value: many(drop.standby, "buyer") }]),
        { name: "Revision", value: String(drop.revision) },
      ];
    },
  };
}

type Texts = Record<string, string>;

const IN_TEN_MINUTES = 600_000;
const IDENTITIES = ["email", "phone", "payment", "address"] as const;
const IDENTITY_WORDS = { email: "e-mail address", phone: "phone number", payment: "payment method", address: "postal address" };
const CHALLENGES = [
  { value: "none", label: "none" },
  { value: "proof_of_work", label: "proof of work" },
  { value: "external", label: "of a service" },
];

function fieldsOf(currency: string, texts: Texts = {}, change: Drop | null = null): Field[] {
  return [
    { name: "name", label: "Name", kind: "text", value: "" },
    { name: "sku", label: "SKU", kind: "text", value: "" },
    { name: "currency", label: "Currency", kind: "text", value: "EUR" },
    { name: "unit_price", label: "Price of a unit", kind: "money", value: "", currency },
    { name: "total", label: "Units", kind: "number", value: "", min: 0, max: 4_294_967_295 },
    { name: "starts_at", label: "Starts", kind: "time", value: "" },
    { name: "ends_at", label: "Ends", kind: "time", value: "", isOptional: true },
    ...roomFields(texts, change),
    { name: "per_buyer_limit", label: "Units per buyer", kind: "number", value: "1", min: 1, max: 4_294_967_295 },
    { name: "reservation_seconds", label: "Seconds reserved", kind: "number", value: "120", min: 1, max: 31_536_000 },
    { name: "payment_seconds", label: "Seconds to pay", kind: "number", value: "900", min: 1, max: 31_536_000 },
    ...IDENTITIES.map((one): Field => ({ name: `limit_${one}`, label: `Units per ${IDENTITY_WORDS[one]}`, kind: "number", value: "", min: 1, max: 4_294_967_295, isOptional: true })),
    { name: "challenge", label: "Challenge", kind: "select", value: "none", options: CHALLENGES },
    { name: "challenge_below", label: "Demanded below the tier", kind: "select", value: "verified", options: ["new", "verified", "premium"].map((tier) => ({ value: tier, label: tier })) },
    { name: "description", label: "Description", kind: "area", value: "", isOptional: true },
    { name: "image_url", label: "Address of a picture", kind: "text", value: "", isOptional: true },
  ];
}

/** Returns the values of a request: caps on identities are one member there, and so is the room. */
function requested(all: Record<string, unknown>): Record<string, unknown> {
  const values = withRoom(all);
  const limits = Object.fromEntries(IDENTITIES.map((one) => [one, values[`limit_${one}`]]).filter(([, most]) => most !== undefined));
  const rest = Object.fromEntries(Object.entries(values).filter(([name]) => !name.startsWith("limit_")));
  return Object.keys(limits).length ? { ...rest, identity_limits: limits } : rest;
}

function textsOf(drop: Drop): Texts {
  return {
    name: drop.name, sku: drop.sku, currency: drop.currency, unit_price: typedMoney(drop.unit_price, drop.currency), total: String(drop.total),
    starts_at: toLocalField(drop.starts_at), ends_at: toLocalField(drop.ends_at), per_buyer_limit: String(drop.per_buyer_limit),
    reservation_seconds: String(drop.reservation_seconds), payment_seconds: String(drop.payment_seconds),
    description: drop.description ?? "", image_url: drop.image_url ?? "", challenge: drop.challenge ?? "none", challenge_below: drop.challenge_below ?? "verified",
    ...roomTexts(drop),
    ...Object.fromEntries(IDENTITIES.map((one) => [`limit_${one}`, String(drop.identity_limits?.[one] ?? "")])),
  };
}

const KEPT = "firstcome.new-drop";

/** The form of a new drop, of a clone (`from`), or of a change (`change`). What is typed outlives a reload. */
export function dropForm(change: string, from: string) {
  return {
    texts: {} as Texts,
    mistakes: {} as Texts,
    problem: null as Words | null,
    isBusy: false,
    isLoaded: false,
    reason: "",
    original: null as Drop | null,
    /** The texts as they were loaded: only fields that differ are sent. */
    base: {} as Texts,
    /** Values that another operator has set meanwhile in fields that were changed here, too. */
    newer: {} as Texts,
    key: crypto.randomUUID() as string,
    isChange: change !== "",
    async init(this: { texts: Texts; base: Texts; isLoaded: boolean; original: Drop | null; problem: Words | null }) {
      const source = change || from;
      if (source) {
        const answer = await ask<Drop>(`/v1/console/drops/${source}`);
        this.problem = wordsFor(answer);
        if (answer.kind !== "ok") return;
        this.texts = textsOf(answer.body);
        this.base = { ...this.texts };
        if (change) this.original = answer.body;
        else Object.assign(this.texts, { name: `${answer.body.name} (copy)`, starts_at: toLocalField(new Date(Date.now() + IN_TEN_MINUTES).toISOString()), ends_at: "", room_opens_at: emptyRoom(Date.now() + IN_TEN_MINUTES)["room_opens_at"] });
      } else {
        const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}") as Texts;
        const empty = Object.fromEntries(fieldsOf("EUR").map((field) => [field.name, field.value]));
        this.texts = { ...empty, ...emptyRoom(Date.now() + IN_TEN_MINUTES), starts_at: toLocalField(new Date(Date.now() + IN_TEN_MINUTES).toISOString()), ...kept };
      }
      this.isLoaded = true;
    },
    fields(this: { texts: Texts; original: Drop | null }) {
      const typed = (this.texts["currency"] ?? "").trim().toUpperCase();
      return fieldsOf(/^[A-Z]{3}$/.test(typed) ? typed : "EUR", this.texts, this.original).filter((field) => !change || !["currency", "sku", "total"].includes(field.name));
    },
    /** Keeps what is typed. A mistake goes while it is mended, not when the field is left: the button would move under the pointer. */
    keep(this: { texts: Texts; mistakes: Texts; check(name: string): void }, name: string) {
      if (this.mistakes[name]) this.check(name);
      if (!change && !from) sessionStorage.setItem(KEPT, JSON.stringify(this.texts));
    },
    check(this: { texts: Texts; mistakes: Texts; fields(): Field[] }, name: string) {
      const field = this.fields().find((known) => known.name === name);
      const mistake = field && read(field, this.texts[name] ?? "").mistake;
      if (mistake) this.mistakes[name] = mistake;
      else delete this.mistakes[name];
    },
    /** Returns the values, or nothing if there are mistakes. */
    values(this: { texts: Texts; mistakes: Texts; fields(): Field[] }): Record<string, unknown> | null {
      const values: Record<string, unknown> = {};
      const mistakes: Texts = {};
      for (const field of this.fields()) {
        const { value, mistake } = read(field, this.texts[field.name] ?? "");
        if (mistake) mistakes[field.name] = mistake;
        else if (value !== undefined) values[field.name] = field.name === "currency" ? String(value).toUpperCase() : value;
      }
      const [starts, ends] = [values["starts_at"], values["ends_at"]];
      if (typeof starts === "string" && typeof ends === "string" && ends <= starts) mistakes["ends_at"] = "After the start.";
      const opens = roomMistake(values, starts);
      if (opens) mistakes["room_opens_at"] = opens;
      this.mistakes = mistakes;
      return Object.keys(mistakes).length ? null : values;
    },
    /** What the buyers will see, as far as it is typed. */
    preview(this: { texts: Texts; original: Drop | null; fields(): Field[] }) {
      const value = (name: string) => {
        const field = this.fields().find((known) => known.name === name);
        return field ? read(field, this.texts[name] ?? "").value : undefined;
      };
      const unit = value("unit_price");
      const currency = (this.texts["currency"] ?? "EUR").toUpperCase();
      const units = Number(value("total") ?? this.texts["total"]);
      const starts = fromLocalField(this.texts["starts_at"] ?? "");
      const isPrice = typeof unit === "number";
      return {
        name: this.texts["name"] || "Without a name",
        price: isPrice ? price(unit, currency) : "–",
        worth: isPrice && Number.isFinite(units) ? price(unit * units, currency) : "–",
        units: Number.isFinite(units) ? units : 0,
        starts: starts ?? "",
        isNow: starts !== undefined && Date.parse(starts) <= Date.now(),
        ends: fromLocalField(this.texts["ends_at"] ?? "") ?? "",
        limit: this.texts["per_buyer_limit"] ?? "",
        room: roomPreview(this.texts, Number.isFinite(units) ? units : 0, this.original),
      };
    },
    async save(this: { values(): Record<string, unknown> | null; checkChanges(): void; changes(values: Record<string, unknown>): Record<string, unknown>; isBusy: boolean; problem: Words | null; mistakes: Texts; reason: string; original: Drop | null; key: string; takeNewRevision(answer: object): Promise<void> }) {
      const values = this.values();
      if (change) this.checkChanges();
      if (change && !this.reason.trim()) this.mistakes["reason"] = "This is needed.";
      const first = Object.keys(this.mistakes)[0];
      if (!values || first) {
        document.getElementById(`form-${first}`)?.focus();
        return;
      }
      this.isBusy = true;
      const answer = this.original
        ? await ask<Drop>(`/v1/drops/${change}`, { method: "PATCH", body: { ...this.changes(values), expected_revision: this.original.revision, reason: this.reason.trim() } })
        : await ask<Drop>("/v1/drops", { method: "POST", body: requested(values), headers: { "Idempotency-Key": this.key } });
      this.isBusy = false;
      this.problem = wordsFor(answer);
      if (this.problem) {
        Object.assign(this.mistakes, fieldNames(this.problem.fields));
        await this.takeNewRevision(answer);
        return;
      }
      if (answer.kind !== "ok") return;
      sessionStorage.removeItem(KEPT);
      say(change ? `“${answer.body.name}” is changed.` : `“${answer.body.name}” is created.`);
      go(`drops/${answer.body.id}`);
    },
    /** The names of the fields that were changed here. */
    touched(this: { texts: Texts; base: Texts; fields(): Field[] }): string[] {
      return this.fields().map((field) => field.name).filter((name) => (this.texts[name] ?? "") !== (this.base[name] ?? ""));
    },
    /** Returns the members that are sent: those of fields that were changed here. */
    changes(this: { touched(): string[] }, values: Record<string, unknown>): Record<string, unknown> {
      const touched = this.touched();
      const sent = Object.fromEntries(Object.entries(values).filter(([name]) => touched.includes(name)));
      // Caps are one member: all of them are sent, or none.
      if (!touched.some((name) => name.startsWith("limit_"))) return withRoom(sent);
      return { identity_limits: {}, ...requested({ ...sent, ...limitsOf(values) }) };
    },
    checkChanges(this: { texts: Texts; mistakes: Texts; touched(): string[] }) {
      const touched = this.touched();
      if (touched.length === 0) this.mistakes["reason"] = "Nothing is changed.";
      for (const name of ["description", "image_url", "ends_at"]) {
        if (touched.includes(name) && !(this.texts[name] ?? "").trim()) this.mistakes[name] = "It cannot be taken away: put another one.";
      }
    },
    /** After a change by another operator: takes the newest values of fields that were not changed here, and shows the others beside. */
    async takeNewRevision(this: { original: Drop | null; texts: Texts; base: Texts; newer: Texts; touched(): string[] }, answer: { kind: string; problem?: { code: string } }) {
      if (answer.problem?.code !== "precondition-failed") return;
      const newest = await ask<Drop>(`/v1/console/drops/${change}`);
      if (newest.kind !== "ok") return;
      const [touched, texts, before] = [this.touched(), textsOf(newest.body), this.base];
      this.newer = Object.fromEntries(touched.filter((name) => texts[name] !== before[name]).map((name) => [name, texts[name] || "nothing"]));
      this.texts = { ...texts, ...Object.fromEntries(touched.map((name) => [name, this.texts[name] ?? ""])) };
      this.base = texts;
      this.original = newest.body;
    },
  } as Record<string, unknown>;
}

const limitsOf = (values: Record<string, unknown>) => Object.fromEntries(Object.entries(values).filter(([name, most]) => name.startsWith("limit_") && most !== undefined));

/** The undo of a drop's last orders: a preview first, then exactly that range, twenty orders a request. */
export function undoPage(id: string) {
  return {
    drop: null as Drop | null,
    last: "10",
    reason: "",
    typed: "",
    report: null as UndoReport | null,
    problem: null as Words | null,
    isBusy: false,
    results: [] as UndoReport["orders"],
    isDone: false,
    /** The operator knows that orders come meanwhile. */
    isLiveFine: false,
    async init(this: { drop: Drop | null; problem: Words | null }) {
      const answer = await ask<Drop>(`/v1/console/drops/${id}`);
      this.problem = wordsFor(answer);
      if (answer.kind === "ok") this.drop = answer.body;
    },
    takesOrders(this: { drop: Drop | null }): boolean {
      return !!this.drop && this.drop.state !== "paused" && this.drop.state !== "ended";
    },
    async preview(this: { last: string; report: UndoReport | null; problem: Words | null; isBusy: boolean; results: unknown[]; isDone: boolean }) {
      this.isBusy = true;
      const answer = await ask<UndoReport>(`/v1/drops/${id}/remedy?last=${encodeURIComponent(this.last.trim())}`);
      this.isBusy = false;
      this.results = [];
      this.isDone = false;
      this.problem = wordsFor(answer);
      this.report = answer.kind === "ok" ? answer.body : null;
    },
    tally(this: { report: UndoReport | null }, what: string): number {
      return this.report?.orders.filter((one) => one.to_do === what).length ?? 0;
    },
    /** The orders with their results, where there are some. */
    listed(this: { report: UndoReport | null; results: UndoReport["orders"] }) {
      const results = this.results;
      return (this.report?.orders ?? []).map((one) => results.find((done) => done.order.id === one.order.id) ?? one);
    },
    mayRun(this: { report: UndoReport | null; reason: string; typed: string; drop: Drop | null; isBusy: boolean; isDone: boolean; isLiveFine: boolean; takesOrders(): boolean }): boolean {
      return !!this.report?.run && (!this.takesOrders() || this.isLiveFine) && !this.isBusy && !this.isDone && this.reason.trim() !== "" && this.typed.trim() === this.drop?.name.trim();
    },
    async run(this: { report: UndoReport | null; reason: string; problem: Words | null; isBusy: boolean; results: UndoReport["orders"]; isDone: boolean }) {
      const run = this.report?.run;
      if (!run) return;
      this.isBusy = true;
      this.results = [];
      let below: number | undefined;
      do {
        const body = { run, reason: this.reason.trim(), orders_max: this.report?.orders.length, ...(below ? { below } : {}) };
        const answer = await ask<UndoReport>(`/v1/drops/${id}/remedy`, { method: "POST", body });
        this.problem = wordsFor(answer);
        if (answer.kind !== "ok") break;
        this.results = [...this.results, ...answer.body.orders];
        below = answer.body.next_below;
        this.isDone = below === undefined;
      } while (below !== undefined);
      this.isBusy = false;
      if (this.isDone) say(`Undone: ${many(this.results.filter((one) => one.ending === "done").length, "order")}.`);
    },
  };
}
