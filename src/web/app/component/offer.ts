// The offer: price, stock, clock, and the form that reserves.

import { serverNow } from "../shared/api";
import { type Words, minorDigits } from "../shared/words";
import { bar, disable, fill, h, write } from "./dom";
import type { Wish } from "./purchase";

export interface Drop {
  name: string;
  currency: string;
  unit_price: number;
  state: "scheduled" | "live" | "paused" | "sold_out" | "ended";
  available: number;
  held: number;
  sold: number;
  total: number;
  starts_at: string;
  ends_at?: string;
  per_buyer_limit: number;
  reservation_seconds: number;
  /** There if the drop has a waiting room. */
  room?: unknown;
  /** The length of its blind window, in milliseconds. */
  blind_ms?: number;
  /** Buyers who stand by. */
  standby?: number;
  identity_limits?: { email?: number; phone?: number; address?: number };
}

const TONES = { scheduled: "accent", live: "good", paused: "warn", sold_out: "bad", ended: "" } as const;

export class Offer {
  readonly root = h("div.view", { part: "offer", role: "group" });
  readonly button = h("button.button.main", { part: "button" });
  readonly #name = h("p.title", { part: "name", dir: "auto" });
  readonly #chip = h("span", { part: "state" });
  readonly #clock = h("span.soft.small.num", { part: "clock" });
  readonly #price = h("b.num");
  readonly #left = h("span.num");
  readonly #taken = h("span.soft.num");
  readonly #bar = bar("bar");
  readonly #text = h("p.soft", { part: "text" });
  readonly #rule = h("p.soft", { part: "rule" });
  readonly #terms = h("p.soft.small", { part: "terms" });
  readonly #fewer: HTMLButtonElement;
  readonly #more: HTMLButtonElement;
  readonly #quantity: HTMLInputElement;
  readonly #stepper = h("div.stepper", { part: "stepper" });
  readonly #fields = h("div.tight", { part: "fields" });
  readonly #line = h("p.soft");
  #email: HTMLElement | undefined;
  readonly #form = h("form", { part: "form" });
  #drop: Drop | undefined;
  #isOpen = false;
  /** False while a waiting room keeps the form closed. */
  isTurn = true;
  /** True while the buyer has a place in the line. */
  standsBy = false;

  constructor(private readonly words: Words, notice: HTMLElement, buy: () => void) {
    const { t } = words;
    const step = (by: number, text: string, sign: string) => {
      const button = h("button", { type: "button", part: "step", "aria-label": text }, sign);
      button.addEventListener("click", () => {
        if (!this.#quantity.readOnly) this.setQuantity(this.quantity + by);
      });
      return button;
    };
    [this.#fewer, this.#more] = [step(-1, t("drop.fewer"), "−"), step(1, t("drop.more"), "+")];
    this.#quantity = h("input", { type: "number", inputmode: "numeric", min: "1", value: "1", required: true, part: "quantity", "aria-label": t("drop.quantity") });
    this.#quantity.addEventListener("input", () => this.draw(false));
    this.#stepper.append(this.#fewer, this.#quantity, this.#more);
    this.#form.append(this.#fields, h("div.buy", {}, this.#stepper, this.button), this.#terms);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#isOpen) buy();
    });
    this.root.append(
      this.#name,
      h("p.row.start", {}, this.#chip, this.#clock),
      h("p.price", { part: "price" }, this.#price, " ", h("span.soft", {}, t("drop.each"))),
      h("div.tight", { part: "stock" }, h("p.row.small", {}, this.#left, this.#taken), this.#bar),
      this.#text,
      this.#rule,
      this.#line,
      notice,
      this.#form,
    );
  }

  get drop(): Drop | undefined {
    return this.#drop;
  }

  get quantity(): number {
    const typed = Number(this.#quantity.value);
    return Number.isInteger(typed) && typed >= 1 ? Math.min(typed, this.limit) : 1;
  }

  setQuantity(quantity: number): void {
    this.#quantity.value = String(Math.max(1, Math.min(this.limit, quantity)));
    this.draw(false);
  }

  private get limit(): number {
    const { per_buyer_limit, total } = this.#drop ?? { per_buyer_limit: 1, total: 1 };
    return Math.min(per_buyer_limit, Math.max(1, total), 65_535);
  }

  wish(): Wish {
    const contact: Record<string, string> = {};
    for (const field of this.#fields.querySelectorAll<HTMLInputElement | HTMLTextAreaElement>("[name]")) {
      if (field.value.trim() !== "" && field.closest("[hidden]") === null) contact[field.name] = field.value;
    }
    const [has, standby] = [Object.keys(contact).length > 0, this.canStandBy];
    return { quantity: this.quantity, ...(standby ? { standby } : {}), ...(has ? { contact } : {}) };
  }

  /** Others than admitted buyers of a room may stand by while every unit is sold. */
  private get canStandBy(): boolean {
    return this.#drop?.state === "sold_out" && (this.isTurn || this.#drop.held === 0);
  }

  take(drop: Drop): void {
    const isFirst = this.#drop === undefined;
    this.#drop = drop;
    if (!isFirst) return;
    this.root.setAttribute("aria-label", drop.name);
    const { t } = this.words;
    const limits = drop.identity_limits ?? {};
    const field = (name: string, input: HTMLElement) => h("label.field", { part: "field" }, t(`order.${name}`), input);
    const text = (name: string, type: string, maxlength: string, required = true) =>
      field(name, h("input", { name, type, autocomplete: name === "phone" ? "tel" : name, maxlength, required, part: "input" }));
    const email = text("email", "email", "254", limits.email !== undefined);
    this.#fields.append(email);
    if (!limits.email) {
      // For the message that a unit is the buyer's.
      this.#email = email;
      email.firstChild?.after(` (${t("order.optional")})`);
      email.append(h("span.soft", {}, t("standby.email_text")));
    }
    if (limits.phone) this.#fields.append(text("phone", "tel", "40"));
    if (limits.address) {
      const input = h("textarea", { name: "address", autocomplete: "street-address", rows: "3", maxlength: "160", required: true, part: "input" });
      this.#fields.append(field("address", input));
    }
  }

  /** Writes what the drop is now; `isBusy` while a purchase is under way. */
  draw(isBusy: boolean): void {
    const drop = this.#drop;
    if (!drop) return;
    const { t, count, duration, money } = this.words;
    const { state, available, held, sold, total } = drop;
    write(this.#name, drop.name);
    this.#chip.className = `chip ${TONES[state] ?? ""}`;
    write(this.#chip, t(`state.${state}`));
    const until = state === "ended" ? undefined : state === "scheduled" ? drop.starts_at : drop.ends_at;
    const label = t(state === "scheduled" ? "clock.starts" : "clock.ends");
    write(this.#clock, until ? `${label} ${duration(Date.parse(until) - serverNow())}` : "");
    const digits = minorDigits(drop.currency);
    write(this.#price, money(drop.unit_price, drop.currency, digits));
    write(this.#left, `${count(available)} ${t("drop.left")}`);
    write(this.#taken, `${count(held)} ${t("drop.held")} · ${count(sold)} ${t("drop.sold")}`);
    fill(this.#bar, total > 0 ? available / total : 0);
    const soldOut = held > 0 ? t("drop.sold_out_held", { n: held }) : t("drop.sold_out_all");
    write(this.#text, state === "sold_out" ? (this.standsBy ? "" : soldOut) : state === "paused" ? t("drop.paused_text") : state === "ended" ? t("drop.ended_text") : "");
    this.#text.hidden = this.#text.textContent === "";
    const blind = drop.blind_ms ?? 0;
    this.#rule.hidden = blind === 0 || this.standsBy || state === "ended" || serverNow() >= Date.parse(drop.starts_at) + blind;
    if (!this.#rule.hidden) write(this.#rule, t("blind.rule", { n: blind / 1000 }));
    const { canStandBy } = this;
    this.#form.hidden = state === "ended" || this.standsBy || !(this.isTurn || canStandBy);
    this.#isOpen = state === "live" || canStandBy;
    if (this.#email) this.#email.hidden = !canStandBy;
    this.#fields.hidden = this.#fields.querySelector(":scope > :not([hidden])") === null;
    const { standby = 0 } = drop;
    this.#line.hidden = this.#form.hidden || !canStandBy || standby === 0;
    write(this.#line, t("standby.count", { n: standby }));
    disable(this.button, isBusy || !this.#isOpen);
    write(this.button, isBusy ? t("drop.reserving") : this.offerText(drop, digits));
    const { limit, quantity } = this;
    this.#quantity.max = String(limit);
    this.#stepper.hidden = limit === 1;
    disable(this.#fewer, isBusy || quantity <= 1);
    disable(this.#more, isBusy || quantity >= limit);
    this.#quantity.readOnly = isBusy;
    write(this.#terms, canStandBy ? t("standby.promise") : `${t("drop.limit", { n: limit })}. ${t("drop.promise", { time: duration(drop.reservation_seconds * 1000) })}`);
  }

  private offerText(drop: Drop, digits: number): string {
    const { t, money } = this.words;
    if (drop.state === "scheduled") return t("drop.not_yet");
    if (drop.state === "paused") return t("drop.paused");
    if (drop.state === "sold_out") return t("standby.join");
    return t("drop.reserve_total", { price: money(drop.unit_price * this.quantity, drop.currency, digits) });
  }
}
