// The order that came of it: its clock, the way to the payment, and how it ended.

import { serverNow } from "../shared/api";
import { type Words, minorDigits } from "../shared/words";
import { bar, disable, fill, h, write } from "./dom";
import type { Order } from "./purchase";

export interface Steps {
  /** The buyer goes to the payment: the event may be prevented. */
  pay(event: Event): void;
  giveBack(): void;
  /** Back to the offer, once the order has ended. */
  leave(): void;
}

export class Reservation {
  readonly root = h("div.view", { part: "order", role: "group", hidden: true });
  readonly title = h("p.title", { part: "title", tabindex: "-1" });
  readonly #clock = h("p.timer.num", { part: "timer", role: "timer" });
  readonly #bar = bar("time");
  readonly #text = h("p", { part: "text" });
  readonly #item = h("dd", { dir: "auto" });
  readonly #code = h("dd.num");
  readonly #amount = h("dd.num");
  readonly #pay: HTMLAnchorElement;
  readonly #giveBack: HTMLButtonElement;
  readonly #leave: HTMLButtonElement;

  constructor(private readonly words: Words, private readonly pageOf: (order: Order) => string, notice: HTMLElement, steps: Steps) {
    const { t } = words;
    this.#clock.setAttribute("aria-label", t("order.left"));
    this.#pay = h("a.button.main", { part: "button", rel: "noreferrer" }, t("component.pay"));
    this.#pay.addEventListener("click", (event) => steps.pay(event));
    const button = (text: string, step: () => void) => {
      const made = h("button.button.ghost", { type: "button", part: "second-button" }, text);
      made.addEventListener("click", step);
      return made;
    };
    this.#giveBack = button(t("order.give_back"), () => steps.giveBack());
    this.#leave = button(t("component.back"), () => steps.leave());
    const row = (name: string, value: HTMLElement) => [h("dt", {}, t(name)), value];
    this.root.append(
      this.title,
      this.#clock,
      this.#bar,
      this.#text,
      h("dl.small", { part: "details" }, ...row("order.item", this.#item), ...row("order.number", this.#code), ...row("order.amount", this.#amount)),
      notice,
      this.#pay,
      this.#giveBack,
      this.#leave,
    );
  }

  draw(order: Order, name: string, isBusy: boolean): void {
    const { t, count, money, duration } = this.words;
    const isLive = order.state === "reserved" || order.state === "awaiting_payment";
    const [from, until] = [Date.parse(order.reserved_at), Date.parse(order.expires_at)];
    const due = money(order.refund_due_amount ?? 0, order.currency, minorDigits(order.currency));
    const cancelled = t(order.end_reason === "cancelled_by_operator" ? "order.cancelled_by_shop" : "order.cancelled_text");
    const said: Record<Order["state"], [string, string]> = {
      reserved: [t("order.reserved"), t("component.reserved_text")],
      awaiting_payment: [t("order.awaiting"), t("component.awaiting_text")],
      paid: [t("order.paid"), t("order.paid_text")],
      expired: [t("order.expired"), t("order.expired_text")],
      cancelled: [t("order.cancelled"), cancelled],
      refund_due: [t("order.refund_due"), t("order.refund_due_text", { due })],
      refunded: [t("order.refunded_title"), t("order.refunded_text")],
    };
    // A newer server may have another state.
    const [title, text] = said[order.state] ?? [order.state, ""];
    write(this.title, title);
    write(this.#text, text);
    this.root.setAttribute("aria-label", title);
    for (const element of [this.#clock, this.#bar, this.#pay, this.#giveBack]) element.hidden = !isLive;
    this.#leave.hidden = isLive;
    disable(this.#giveBack, isBusy);
    write(this.#item, order.quantity > 1 ? `${count(order.quantity)} × ${name}` : name);
    write(this.#code, order.code);
    write(this.#amount, money(order.amount, order.currency, minorDigits(order.currency)));
    if (!isLive) return;
    write(this.#clock, duration(until - serverNow()));
    fill(this.#bar, (until - serverNow()) / Math.max(1, until - from));
    const page = this.pageOf(order);
    if (this.#pay.href !== page) this.#pay.href = page;
  }
}
