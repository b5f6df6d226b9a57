// Auctions: the list, one auction with its bids by place, and the form of a new one with its preview.
import { read, say, type Field } from "./dialog";
import { fromLocalField, length, price, readMoney, toLocalField } from "./format";
import { wordsFor, type Words } from "./problems";
import { go } from "./routes";
import { ask } from "./session";
import type { Auction, Bid, Page } from "./shapes";

export function auctionsPage() {
  return {
    auctions: [] as Auction[],
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
    async load(this: { auctions: Auction[]; isLoaded: boolean; problem: Words | null }) {
      const answer = await ask<Page<Auction>>("/v1/console/auctions?limit=100");
      if (answer.kind !== "lost") this.problem = wordsFor(answer);
      if (answer.kind !== "ok") return;
      const rank = (auction: Auction) => ["live", "scheduled"].indexOf(auction.state) + 1 || 3;
      this.auctions = answer.body.data.sort((a, b) => rank(a) - rank(b) || b.id - a.id);
      this.isLoaded = true;
    },
  };
}

/** A bidder with their best bid. */
export interface Place {
  place: number;
  buyer: string;
  amount: number;
  bids: number;
  at: string;
  leading: boolean;
}

/** Returns the bidders by place: the leading one, then the others by their best bids, of two equal ones the earlier first. */
export function places(bids: Bid[]): Place[] {
  const best = new Map<string, Place>();
  for (const bid of bids) {
    const known = best.get(bid.buyer);
    if (!known) best.set(bid.buyer, { place: 0, buyer: bid.buyer, amount: bid.amount, bids: 1, at: bid.at, leading: bid.leading });
    else {
      known.bids += 1;
      known.leading ||= bid.leading;
      if (bid.amount > known.amount) Object.assign(known, { amount: bid.amount, at: bid.at });
    }
  }
  const sorted = [...best.values()].sort((a, b) => Number(b.leading) - Number(a.leading) || b.amount - a.amount || a.at.localeCompare(b.at));
  return sorted.map((one, index) => ({ ...one, place: index + 1 }));
}

/** Pages of bids that are read at once; an auction with more shows its newest ones as they come. */
const PAGES_MAX = 20;

export function auctionPage(id: string) {
  return {
    auction: null as Auction | null,
    bids: [] as Bid[],
    after: 0,
    problem: null as Words | null,
    timer: 0,
    changed: () => {},
    init(this: { load(): Promise<void>; timer: number; changed: () => void }) {
      void this.load();
      this.changed = () => void this.load();
      this.timer = window.setInterval(() => void this.load(), 2000);
      document.addEventListener("firstcome:changed", this.changed);
    },
    destroy(this: { timer: number; changed: () => void }) {
      clearInterval(this.timer);
      document.removeEventListener("firstcome:changed", this.changed);
    },
    async load(this: { auction: Auction | null; bids: Bid[]; after: number; problem: Words | null }) {
      const answer = await ask<Auction>(`/v1/console/auctions/${id}`);
      this.problem = this.auction && answer.kind === "lost" ? null : wordsFor(answer);
      if (answer.kind !== "ok") return;
      const isNew = !this.auction || this.auction.bids !== answer.body.bids;
      this.auction = answer.body;
      if (!isNew) return;
      for (let pages = 0; pages < PAGES_MAX; pages += 1) {
        const listed = await ask<Page<Bid>>(`/v1/console/auctions/${id}/bids?limit=100&after=${this.after}`);
        if (listed.kind !== "ok") return;
        const fresh = listed.body.data.filter((bid) => bid.seq > this.after);
        // Of the bids that are known, none leads any longer once another does.
        const before = fresh.some((bid) => bid.leading) ? this.bids.map((bid) => ({ ...bid, leading: false })) : this.bids;
        this.bids = [...before, ...fresh];
        this.after = this.bids.at(-1)?.seq ?? this.after;
        if (!listed.body.has_more) return;
      }
    },
    places(this: { bids: Bid[] }) {
      return places(this.bids).slice(0, 50);
    },
    newest(this: { bids: Bid[] }) {
      return this.bids.slice(-50).reverse();
    },
    isOpen(this: { auction: Auction | null }): boolean {
      return this.auction?.state === "live" || this.auction?.state === "scheduled";
    },
  };
}

type Texts = Record<string, string>;

const KEPT = "firstcome.new-auction";
const IN_TEN_MINUTES = 600_000;
const IN_AN_HOUR = 3_600_000;
const STEPS_HELP = "From which price on, the least step: 0: 1, 500: 10. Without them a step is 0.1 % to 1 % of the price.";

function fieldsOf(currency: string): Field[] {
  return [
    { name: "name", label: "Name", kind: "text", value: "" },
    { name: "sku", label: "SKU", kind: "text", value: "" },
    { name: "currency", label: "Currency", kind: "text", value: "EUR" },
    { name: "start_price", label: "First price", kind: "money", value: "", currency },
    { name: "reserve_price", label: "Reserve price", kind: "money", value: "", currency, isOptional: true, help: "Bidders do not see it." },
    { name: "buy_now", label: "Buy at once for", kind: "money", value: "", currency, isOptional: true, help: "Offered until the first bid." },
    { name: "starts_at", label: "Starts", kind: "time", value: "" },
    { name: "ends_at", label: "Ends", kind: "time", value: "" },
    { name: "soft_close_seconds", label: "Soft close, seconds", kind: "number", value: "60", min: 0, max: 3600, help: "A bid this near to the end moves the end as far." },
    { name: "extensions_max", label: "Extensions at most", kind: "number", value: "1000", min: 0, max: 1000, help: "Late bids beyond it move nothing." },
    { name: "hard_end_at", label: "Ends at the latest", kind: "time", value: "", isOptional: true },
    { name: "increments", label: "Steps", kind: "text", value: "", isOptional: true, help: STEPS_HELP },
  ];
}

/** Reads steps such as `0: 1, 500: 10`. Returns pairs of minor units, or nothing for what is none. */
export function readSteps(text: string, currency: string): [number, number][] | undefined {
  const pairs: [number, number][] = [];
  for (const part of text.split(/[;\n]|,\s/).filter((one) => one.trim())) {
    const [from, step] = part.split(":").map((amount) => readMoney(amount, currency));
    if (from === undefined || step === undefined || step < 1 || (pairs.at(-1)?.[0] ?? -1) >= from) return undefined;
    pairs.push([from, step]);
  }
  return pairs[0]?.[0] === 0 ? pairs : undefined;
}

const inLocal = (ms: number) => toLocalField(new Date(Date.now() + ms).toISOString());

/** The form of a new auction. What is typed outlives a reload. */
export function auctionForm() {
  return {
    texts: {} as Texts,
    mistakes: {} as Texts,
    problem: null as Words | null,
    isBusy: false,
    isLoaded: false,
    isChange: false,
    newer: {} as Texts,
    key: crypto.randomUUID() as string,
    init(this: { texts: Texts; isLoaded: boolean }) {
      const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}") as Texts;
      const empty = Object.fromEntries(fieldsOf("EUR").map((field) => [field.name, field.value]));
      this.texts = { ...empty, starts_at: inLocal(IN_TEN_MINUTES), ends_at: inLocal(IN_AN_HOUR), ...kept };
      this.isLoaded = true;
    },
    currency(this: { texts: Texts }): string {
      const typed = (this.texts["currency"] ?? "").trim().toUpperCase();
      return /^[A-Z]{3}$/.test(typed) ? typed : "EUR";
    },
    fields(this: { currency(): string }) {
      return fieldsOf(this.currency());
    },
    /** Keeps what is typed. A mistake goes while it is mended, not when the field is left: the button would move under the pointer. */
    keep(this: { texts: Texts; mistakes: Texts; check(name: string): void }, name: string) {
      if (this.mistakes[name]) this.check(name);
      sessionStorage.setItem(KEPT, JSON.stringify(this.texts));
    },
    check(this: { texts: Texts; mistakes: Texts; fields(): Field[]; currency(): string }, name: string) {
      const field = this.fields().find((known) => known.name === name);
      const text = this.texts[name] ?? "";
      const isNoStep = name === "increments" && text.trim() !== "" && !readSteps(text, this.currency());
      const mistake = isNoStep ? "Steps such as 0: 1, 500: 10, ascending from 0." : field && read(field, text).mistake;
      if (mistake) this.mistakes[name] = mistake;
      else delete this.mistakes[name];
    },
    /** Returns the values, or nothing if there are mistakes. */
    values(this: { texts: Texts; mistakes: Texts; fields(): Field[]; currency(): string; check(name: string): void }): Record<string, unknown> | null {
      const values: Record<string, unknown> = {};
      this.mistakes = {};
      for (const field of this.fields()) {
        this.check(field.name);
        const { value } = read(field, this.texts[field.name] ?? "");
        if (value !== undefined) values[field.name] = value;
      }
      values["currency"] = this.currency();
      if (values["increments"] !== undefined) values["increments"] = readSteps(String(values["increments"]), this.currency());
      const [starts, ends, latest] = [values["starts_at"], values["ends_at"], values["hard_end_at"]];
      if (typeof starts === "string" && typeof ends === "string" && ends <= starts) this.mistakes["ends_at"] = "After the start.";
      if (typeof ends === "string" && typeof latest === "string" && latest < ends) this.mistakes["hard_end_at"] = "Not before the end.";
      const [first, reserve, atOnce] = [values["start_price"], values["reserve_price"], values["buy_now"]];
      if (typeof first === "number" && typeof atOnce === "number" && atOnce < first) this.mistakes["buy_now"] = "At least the first price.";
      if (typeof first === "number" && typeof reserve === "number" && reserve < first) this.mistakes["reserve_price"] = "At least the first price.";
      return Object.keys(this.mistakes).length ? null : values;
    },
    /** What the bidders will see, as far as it is typed. */
    preview(this: { texts: Texts; fields(): Field[]; currency(): string }) {
      const currency = this.currency();
      const amount = (name: string) => {
        const field = this.fields().find((known) => known.name === name);
        const value = field && read(field, this.texts[name] ?? "").value;
        return typeof value === "number" ? price(value, currency) : "";
      };
      const time = (name: string) => fromLocalField(this.texts[name] ?? "") ?? "";
      const [starts, ends] = [time("starts_at"), time("ends_at")];
      const soft = Number(this.texts["soft_close_seconds"]);
      return {
        name: this.texts["name"] || "Without a name",
        price: amount("start_price") || "–",
        reserve: amount("reserve_price") || "none",
        buyNow: amount("buy_now") || "not offered",
        starts,
        ends,
        latest: time("hard_end_at"),
        lasts: starts && ends && ends > starts ? length(Math.round((Date.parse(ends) - Date.parse(starts)) / 1000)) : "–",
        soft: soft > 0 ? `a bid in the last ${length(soft)} extends it` : "off",
        isNow: starts !== "" && Date.parse(starts) <= Date.now(),
      };
    },
    async save(this: { values(): Record<string, unknown> | null; isBusy: boolean; problem: Words | null; mistakes: Texts; key: string }) {
      const values = this.values();
      if (!values) {
        document.getElementById(`form-${Object.keys(this.mistakes)[0]}`)?.focus();
        return;
      }
      this.isBusy = true;
      const answer = await ask<Auction>("/v1/auctions", { method: "POST", body: values, headers: { "Idempotency-Key": this.key } });
      this.isBusy = false;
      this.problem = wordsFor(answer);
      if (this.problem) {
        Object.assign(this.mistakes, this.problem.fields);
        return;
      }
      if (answer.kind !== "ok") return;
      sessionStorage.removeItem(KEPT);
      say(`“${answer.body.name}” is created.`);
      go(`auctions/${answer.body.id}`);
    },
  } as Record<string, unknown>;
}
