// Orders: search, one order with its history, payments and contact, and the refunds that are due.
import { wordsFor, type Words } from "./problems";
import { go } from "./routes";
import { ask, may } from "./session";
import type { Drop, Happening, Order, Page, Payment } from "./shapes";

const STATES = ["reserved", "awaiting_payment", "paid", "cancelled", "expired", "refund_due", "refunded"];
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

/** Returns what a search means: an id, an e-mail address, a code or a phone number. */
export function meaning(text: string): { kind: "id" | "email" | "code" | "phone"; value: string } {
  const value = text.trim();
  if (ID.test(value)) return { kind: "id", value: value.toLowerCase() };
  if (value.includes("@")) return { kind: "email", value };
  if (/^fc-?[0-9a-z]+$/i.test(value)) return { kind: "code", value };
  return { kind: "phone", value };
}

export function ordersPage(only: string, dropId: string) {
  return {
    text: "",
    dropId,
    state: "",
    states: STATES,
    orders: [] as Order[],
    after: 0,
    hasMore: false,
    /** What the list shows, in words. */
    what: "",
    isLoaded: false,
    isBusy: false,
    problem: null as Words | null,
    isDue: only === "due",
    init(this: { list(): Promise<void> }) {
      if (may("operator")) void this.list();
    },
    async search(this: { text: string; orders: Order[]; what: string; hasMore: boolean; isLoaded: boolean; isBusy: boolean; problem: Words | null; list(): Promise<void> }) {
      if (!this.text.trim()) return this.list();
      const { kind, value } = meaning(this.text);
      if (kind === "id") return go(`orders/${value}`);
      this.isBusy = true;
      const answer = await ask<Page<Order>>("/v1/orders/search", { method: "POST", body: { [kind]: value } });
      this.isBusy = false;
      this.problem = wordsFor(answer);
      if (answer.kind !== "ok") return;
      const [first] = answer.body.data;
      if (kind === "code" && first && answer.body.data.length === 1) return go(`orders/${first.id}`);
      this.orders = answer.body.data;
      this.hasMore = false;
      this.isLoaded = true;
      this.what = `Orders with the ${kind === "email" ? "e-mail address" : kind === "phone" ? "phone number" : kind} ${value}`;
    },
    async list(this: { dropId: string; state: string; orders: Order[]; after: number; hasMore: boolean; what: string; isLoaded: boolean; isBusy: boolean; isDue: boolean; problem: Words | null }, more = false) {
      const query = new URLSearchParams({ limit: "25" });
      if (this.isDue) query.set("refund_due", "true");
      if (this.dropId.trim()) query.set("drop_id", this.dropId.trim());
      if (this.state) query.set("state", this.state);
      if (more) query.set("after", String(this.after));
      this.isBusy = true;
      const answer = await ask<Page<Order>>(`/v1/orders?${query}`);
      this.isBusy = false;
      this.problem = wordsFor(answer);
      if (answer.kind !== "ok") return;
      this.orders = more ? [...this.orders, ...answer.body.data] : answer.body.data;
      this.hasMore = answer.body.has_more;
      this.after = answer.body.next_after ?? 0;
      this.isLoaded = true;
      this.what = this.isDue ? "Money that is owed to buyers" : "The oldest orders first";
    },
  };
}

export function orderPage(id: string) {
  return {
    order: null as Order | null,
    drop: null as Drop | null,
    history: [] as Happening[],
    payments: [] as Payment[],
    contact: null as Record<string, string> | null,
    contactWords: "",
    problem: null as Words | null,
    timer: 0,
    changed: () => {},
    init(this: { load(): Promise<void>; timer: number; changed: () => void }) {
      void this.load();
      this.timer = window.setInterval(() => void this.load(), 5000);
      this.changed = () => void this.load();
      document.addEventListener("firstcome:changed", this.changed);
    },
    destroy(this: { timer: number; changed: () => void }) {
      clearInterval(this.timer);
      document.removeEventListener("firstcome:changed", this.changed);
    },
    async load(this: { order: Order | null; drop: Drop | null; history: Happening[]; payments: Payment[]; problem: Words | null }) {
      const answer = await ask<Order>(`/v1/console/orders/${id}`);
      this.problem = this.order && answer.kind === "lost" ? null : wordsFor(answer);
      if (answer.kind !== "ok") return;
      this.order = answer.body;
      const [history, payments] = await Promise.all([ask<Page<Happening>>(`/v1/orders/${id}/history`), ask<Page<Payment>>(`/v1/orders/${id}/payments`)]);
      if (history.kind === "ok") this.history = history.body.data;
      if (payments.kind === "ok") this.payments = payments.body.data;
      if (!this.drop) {
        const drop = await ask<Drop>(`/v1/console/drops/${answer.body.drop_id}`);
        if (drop.kind === "ok") this.drop = drop.body;
      }
    },
    /** Reads the contact, which is noted in the audit. */
    async showContact(this: { contact: Record<string, string> | null; contactWords: string }) {
      const answer = await ask<Record<string, string>>(`/v1/orders/${id}/contact`);
      if (answer.kind === "ok") this.contact = answer.body;
      this.contactWords = answer.kind === "problem" && answer.problem.status === 404 ? "The order has no contact." : (wordsFor(answer)?.text ?? "");
    },
    mayRefund(this: { order: Order | null }): boolean {
      const order = this.order;
      return !!order && order.state === "paid" && order.amount - order.refunded_amount - (order.refund_due_amount ?? 0) > 0;
    },
    mayRecord(this: { order: Order | null }): boolean {
      return !!this.order && ["reserved", "awaiting_payment", "expired"].includes(this.order.state);
    },
  };
}
