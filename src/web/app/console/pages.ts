// The smaller pages: webhook endpoints, audit, settings and runbooks.
import { readAudit, reasonOf, sentence } from "./audit";
import { elements } from "./markdown";
import { wordsFor, type Words } from "./problems";
import { ask, authorization, may } from "./session";
import type { AuditRow, Delivery, Endpoint, Page, Setting } from "./shapes";
import { stream } from "./stream";

export function webhooksPage(id: string) {
  return {
    endpoints: [] as Endpoint[],
    deliveries: [] as Delivery[],
    state: "dead",
    isLoaded: false,
    problem: null as Words | null,
    /** The secret of the endpoint that was made last: it is shown once. */
    secret: "",
    timer: 0,
    changed: () => {},
    init(this: { load(): Promise<void>; timer: number; changed: () => void }) {
      if (!may("operator")) return;
      void this.load();
      this.changed = () => void this.load();
      this.timer = window.setInterval(() => void this.load(), 4000);
      document.addEventListener("firstcome:changed", this.changed);
    },
    destroy(this: { timer: number; changed: () => void }) {
      clearInterval(this.timer);
      document.removeEventListener("firstcome:changed", this.changed);
    },
    async load(this: { endpoints: Endpoint[]; deliveries: Delivery[]; state: string; isLoaded: boolean; problem: Words | null }) {
      const answer = await ask<Page<Endpoint>>("/v1/webhook-endpoints");
      if (answer.kind !== "lost") this.problem = wordsFor(answer);
      if (answer.kind !== "ok") return;
      this.endpoints = answer.body.data;
      this.isLoaded = true;
      if (!id) return;
      const listed = await ask<Page<Delivery>>(`/v1/webhook-endpoints/${id}/deliveries?state=${this.state}&limit=50`);
      if (listed.kind === "ok") this.deliveries = listed.body.data;
    },
    show(this: { secret: string }) {
      return (secret: string) => {
        this.secret = secret;
      };
    },
    eventWords: ({ events }: Endpoint) => (events.length > 6 ? `${events.length} types of events` : events.join(", ")),
    chosen(this: { endpoints: Endpoint[] }) {
      return this.endpoints.find((endpoint) => String(endpoint.id) === id) ?? null;
    },
  };
}

const ROWS_MAX = 400;
/** Events before now among which those of operators are looked for. */
const LOOK_BACK = 200_000;

export function auditPage() {
  let reading: AbortController | undefined;
  return {
    rows: [] as AuditRow[],
    kind: "",
    dropId: "",
    orderId: "",
    isFollowing: true,
    hasBuyers: false,
    trouble: "",
    init(this: { begin(): Promise<void> }) {
      void this.begin();
    },
    destroy() {
      reading?.abort();
    },
    async begin(this: { rows: AuditRow[]; dropId: string; orderId: string; isFollowing: boolean; hasBuyers: boolean; trouble: string }) {
      reading?.abort();
      const mine = new AbortController();
      reading = mine;
      this.rows = [];
      const [drop, order] = [this.dropId.trim(), this.orderId.trim()];
      // A drop's or an order's events may lie far back; all events are shown from a while ago on.
      let since = drop || order ? 0 : Math.max(0, (stream.frame?.seq ?? 0) - (this.hasBuyers ? ROWS_MAX : LOOK_BACK));
      while (!mine.signal.aborted) {
        const query = new URLSearchParams({ since_seq: String(since), follow: String(this.isFollowing) });
        if (!this.hasBuyers && !order) query.set("without_buyers", "true");
        if (drop) query.set("drop_id", drop);
        if (order) query.set("order_id", order);
        this.trouble = await readAudit(query.toString(), mine.signal, (rows) => {
          const last = rows.at(-1);
          if (mine.signal.aborted || !last) return;
          since = last.seq;
          this.trouble = "";
          this.rows = [...rows.slice(-ROWS_MAX).reverse(), ...this.rows].slice(0, ROWS_MAX);
        });
        if (!this.isFollowing || (this.trouble && this.rows.length === 0)) return;
        await new Promise((go) => setTimeout(go, 1500));
      }
    },
    shown(this: { rows: AuditRow[]; kind: string }) {
      const words = this.kind.trim().toLowerCase();
      return this.rows.filter((row) => !words || `${row.kind} ${sentence(row)} ${reasonOf(row)}`.toLowerCase().includes(words)).slice(0, 200);
    },
    detail: (row: AuditRow) => JSON.stringify(row.detail ?? {}, null, 2),
    sentence,
    reasonOf,
  };
}

export function settingsPage() {
  return {
    settings: [] as Setting[],
    filter: "",
    isOnlySet: false,
    problem: null as Words | null,
    async init(this: { settings: Setting[]; problem: Words | null }) {
      if (!may("operator")) return;
      const answer = await ask<Page<Setting>>("/v1/settings");
      this.problem = wordsFor(answer);
      if (answer.kind === "ok") this.settings = answer.body.data;
    },
    shown(this: { settings: Setting[]; filter: string; isOnlySet: boolean }) {
      const words = this.filter.trim().toLowerCase();
      return this.settings.filter((one) => (!this.isOnlySet || one.source !== "default") && (!words || `${one.key} ${one.why}`.toLowerCase().includes(words)));
    },
    value: (one: Setting) => (one.value === undefined ? "set, not shown" : one.value || "not set"),
  };
}

export function runbookPage(name: string) {
  return {
    problem: "",
    isLoaded: false,
    async init(this: { $el: HTMLElement; problem: string; isLoaded: boolean }) {
      const into = this.$el.querySelector("article");
      try {
        const response = await fetch(`/v1/runbooks/${encodeURIComponent(name)}`, { headers: authorization(), credentials: "omit" });
        if (response.ok) into?.replaceChildren(...elements(await response.text()));
        else this.problem = response.status === 404 ? `There is no runbook ${name}.` : `The server answers ${response.status}.`;
      } catch {
        this.problem = "The server does not answer.";
      }
      this.isLoaded = true;
    },
  };
}
