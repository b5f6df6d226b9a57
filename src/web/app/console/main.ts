// The console: signs an operator in, follows the stream of figures, and shows the page of the address.
import Alpine from "@alpinejs/csp";
import { serverNow } from "../shared/api";
import { count } from "../shared/words";
import { auctionForm, auctionPage, auctionsPage } from "./auctions";
import { buyersPage } from "./buyers";
import { act, close, confirm, dialog, said } from "./dialog";
import { dropForm, dropPage, dropsPage, stockOf, undoPage } from "./drops";
import { at, bytes, distance, figure, many, price, spoken, utc } from "./format";
import * as levers from "./levers";
import { livePage } from "./live";
import { orderPage, ordersPage } from "./orders";
import { backupsPage, preflightPage, tokensPage } from "./owners";
import { auditPage, runbookPage, settingsPage, webhooksPage } from "./pages";
import { roomCard, windowCard } from "./rooms";
import { go, place, watchAddress } from "./routes";
import { ask, may, session, signIn, signOut } from "./session";
import type { Alerts } from "./shapes";
import { follow, stream } from "./stream";

const TITLES: Record<string, string> = {
  live: "Live", drops: "Drops", orders: "Orders", refunds: "Refunds due", auctions: "Auctions", webhooks: "Webhooks", audit: "Audit",
  settings: "Settings", runbooks: "Runbook", gauges: "Gauges",
  buyers: "Buyers", tokens: "Tokens", backups: "Backups", preflight: "Preflight",
};

const ALERTS_EVERY_MS = 4000;
const RETRY_MS = 2000;

/** The parts of the root that its own methods use. */
interface Root {
  now: number;
  isShown: boolean;
  isMenuOpen: boolean;
  titled(): void;
  begin(): Promise<void>;
  watchAlerts(): Promise<void>;
  $nextTick(then: () => void): void;
}

function trap(dialog: HTMLElement): void {
  const before = document.activeElement;
  const focusable = () => [...dialog.querySelectorAll<HTMLElement>("input, select, textarea, button, a[href]")].filter((one) => one.offsetParent !== null && !one.hasAttribute("disabled"));
  queueMicrotask(() => focusable()[0]?.focus());
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "Tab") return;
    const all = focusable();
    const [first, last] = [all[0], all.at(-1)];
    const leaves = event.shiftKey ? document.activeElement === first : document.activeElement === last;
    if (!leaves) return;
    event.preventDefault();
    (event.shiftKey ? last : first)?.focus();
  });
  new MutationObserver((_, observer) => {
    if (dialog.isConnected) return;
    observer.disconnect();
    if (before instanceof HTMLElement && before.isConnected) before.focus();
  }).observe(document.body, { childList: true });
}

function app() {
  return {
    session,
    stream,
    place,
    dialog,
    said,
    levers,
    token: "",
    signInWords: "",
    now: Date.now(),
    alerts: null as Alerts | null,
    /** False for an instant when the address changes, so that the page is made anew. */
    isShown: true,
    isMenuOpen: false,
    init(this: Root) {
      setInterval(() => (this.now = serverNow()), 1000);
      watchAddress(() => {
        this.isShown = false;
        this.isMenuOpen = false;
        this.$nextTick(() => {
          this.isShown = true;
          this.titled();
          scrollTo(0, 0);
        });
      });
      this.titled();
      void follow();
      void this.begin();
      void this.watchAlerts();
    },
    titled() {
      document.title = `${TITLES[place.page] ?? "Console"} · firstcome`;
    },
    title: (): string => TITLES[place.page] ?? "Console",
    /** Signs in with the token of this tab, or with none where the server has no tokens. */
    async begin(this: { signInWords: string }) {
      for (;;) {
        this.signInWords = await signIn(session.token);
        if (session.me) return;
        if (!this.signInWords.startsWith("The server")) break;
        await new Promise((next) => setTimeout(next, RETRY_MS));
      }
      session.isAsking = true;
    },
    async submitToken(this: { token: string; signInWords: string }) {
      this.signInWords = await signIn(this.token.trim());
      if (session.me && !this.signInWords) this.token = "";
      else if (!this.signInWords) this.signInWords = "Type or paste a token.";
    },
    signOut,
    async watchAlerts(this: { alerts: Alerts | null }) {
      for (;;) {
        if (session.me && !document.hidden) {
          const answer = await ask<Alerts>("/v1/console/alerts");
          if (answer.kind === "ok") this.alerts = answer.body;
        }
        await new Promise((next) => setTimeout(next, ALERTS_EVERY_MS));
      }
    },
    firing(this: { alerts: Alerts | null }) {
      return this.alerts?.alerts ?? [];
    },
    gauges(this: { alerts: Alerts | null }) {
      return this.alerts?.gauges ?? [];
    },
    isAt: (page: string, id?: string): boolean => session.me !== null && place.page === page && (id === undefined || (id === "" ? place.id === "" : place.id !== "" && place.more === id)),
    isPage: (page: string): boolean => place.page === page,
    may,
    go,
    act,
    close,
    confirm,
    /** Keeps the focus within a dialog while it is open, and gives it back at the end. */
    trap,
    /** A word for each state, and its colour. */
    tone(state: string): string {
      if (["live", "serving", "paid", "enabled", "done"].includes(state)) return "good";
      if (["paused", "awaiting_payment", "reserved", "refund_due", "sold_out"].includes(state)) return "warn";
      return ["scheduled", "pending", "gathering", "drawing", "recording"].includes(state) ? "accent" : "";
    },
    stockOf,
    share(drop: { id: number; total: number; available: number; held: number; sold: number }): { transform: string } {
      const { total, sold } = stockOf(drop as never);
      return { transform: `scaleX(${total > 0 ? sold / total : 0})` };
    },
    heldShare(drop: { id: number; total: number }): { transform: string } {
      const { total, sold, held } = stockOf(drop as never);
      return { transform: `scaleX(${total > 0 ? (sold + held) / total : 0})` };
    },
    count,
    figure,
    price,
    spoken,
    many,
    escaped: encodeURIComponent,
    when: at,
    utc,
    far(this: { now: number }, iso: string | undefined): string {
      return distance(iso, this.now);
    },
    percent: (part: number, whole: number): string => `${whole > 0 ? Math.round((part / whole) * 100) : 0} %`,
    /** `FirstcomeQueueFull` in words. */
    alertWords(name: string): string {
      const words = name.replace("Firstcome", "").replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
      return words.charAt(0).toUpperCase() + words.slice(1);
    },
    noted(value: number, gauge: { threshold: number; condition: string }): string {
      if (gauge.condition.includes("_bytes ")) return value > 1e300 ? "not measured yet" : bytes(value);
      return gauge.threshold > 0 && gauge.threshold < 1 ? `${Math.round(value * 100)} %` : figure(value);
    },
    who: () => session.me ?? { name: "", role: "", needs_token: false },
    newest: () => stream.frame ?? { seq: 0, at: "", read_only: false },
    gauge: (name: string): number => stream.frame?.gauges[name] ?? 0,
    unheard(this: { alerts: Alerts | null }): string {
      return this.alerts?.unheard ?? "";
    },
    nodeWords(): string {
      const me = session.me;
      if (!me) return "";
      const where = me.node ? `node ${me.node} · ${me.node_role ?? ""}` : "single server";
      return `${where} · version ${me.version}`;
    },
  };
}

Alpine.data("app", app as never);
Alpine.data("livePage", livePage as never);
Alpine.data("dropsPage", dropsPage as never);
Alpine.data("dropPage", dropPage as never);
Alpine.data("dropForm", dropForm as never);
Alpine.data("roomCard", roomCard as never);
Alpine.data("windowCard", windowCard as never);
Alpine.data("undoPage", undoPage as never);
Alpine.data("ordersPage", ordersPage as never);
Alpine.data("orderPage", orderPage as never);
Alpine.data("auctionsPage", auctionsPage as never);
Alpine.data("auctionPage", auctionPage as never);
Alpine.data("auctionForm", auctionForm as never);
Alpine.data("buyersPage", buyersPage as never);
Alpine.data("tokensPage", tokensPage as never);
Alpine.data("backupsPage", backupsPage as never);
Alpine.data("preflightPage", preflightPage as never);
Alpine.data("webhooksPage", webhooksPage as never);
Alpine.data("auditPage", auditPage as never);
Alpine.data("settingsPage", settingsPage as never);
Alpine.data("runbookPage", runbookPage as never);
Alpine.start();
