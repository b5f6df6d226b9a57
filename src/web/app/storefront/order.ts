// The page of an order: its clock, its forms without leaving the page, and its changes.

import { type Problem, send, serverNow } from "../shared/api";
import { duration, localizeAmounts, localizeTimes, t } from "../shared/words";
import { isTransient, joined, notice } from "./notice";
import { needsToken, token } from "./session";

const LOOK_EVERY_MS = 3_000;
/** A reader who came by the address alone, to a server with tokens, looks at the whole page. */
const LOAD_EVERY_MS = 10_000;
/** A page that goes on elsewhere has gone after so long, or stays. */
const LEAVES_WITHIN_MS = 10_000;

interface Magic {
  $root: HTMLElement;
}
type Component = ReturnType<typeof order> & Magic;

export function order() {
  return joined(notice(), {
    id: "",
    state: "",
    from: 0,
    until: 0,
    isSending: false,
    isScripted: true,
    waiting: undefined as HTMLFormElement | undefined,
    root: undefined as unknown as HTMLElement,

    init(this: Component) {
      const { order: id = "", state = "", from, until } = this.$root.dataset;
      this.root = this.$root;
      [this.id, this.state, this.from, this.until] = [id, state, Number(from ?? 0), Number(until ?? 0)];
      this.tick();
      setInterval(() => this.tick(), 250);
      // With tokens the API asks for the buyer's.
      if (needsToken && !token()) setTimeout(() => void this.lookAtPage(), LOAD_EVERY_MS);
      else void this.look(this.root.dataset["etag"] ?? null);
      window.addEventListener("pageshow", (event) => {
        if (event.persisted) location.reload();
      });
    },
    tick() {
      this.now = serverNow();
      if (this.until > 0) {
        const whole = Math.max(1, this.until - this.from);
        const left = Math.max(0, Math.min(1, (this.until - this.now) / whole));
        this.root.querySelector<HTMLElement>(".bar > span")?.style.setProperty("transform", `scaleX(${left})`);
      }
      if (this.retryAt > 0 && this.now >= this.retryAt && this.waiting && !this.isSending) {
        this.retryAt = 0;
        void this.post(this.waiting);
      }
    },
    get clock(): string {
      return duration(this.until - this.now);
    },

    /** Asks whether the order has changed: it is paid elsewhere, expired, or was changed by the shop. */
    async look(etag: string | null): Promise<void> {
      let next = etag;
      if (!document.hidden) {
        const answer = await send<{ state: string }>(`/v1/orders/${this.id}`, { etag, token: token() });
        if (answer.kind === "problem" && answer.problem.status < 500 && answer.problem.status !== 429) {
          // The token has ended: the address is still the key to the page.
          setTimeout(() => void this.lookAtPage(), LOAD_EVERY_MS);
          return;
        }
        if (answer.kind === "ok" && (await this.renew())) next = answer.etag;
      }
      setTimeout(() => void this.look(next), LOOK_EVERY_MS * (1 + Math.random() / 2));
    },
    async lookAtPage(): Promise<void> {
      if (!document.hidden) await this.renew();
      setTimeout(() => void this.lookAtPage(), LOAD_EVERY_MS * (1 + Math.random() / 2));
    },
    /** Shows what the server's page says by now. Another state has other steps, so that the page loads anew. */
    async renew(): Promise<boolean> {
      if (this.isSending) return false;
      try {
        const answer = await fetch(location.pathname + location.search, {
          headers: { Accept: "text/html" }, redirect: "manual", cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(15_000),
        });
        if (!answer.ok && answer.type !== "opaqueredirect") return false;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const found = page.querySelector<HTMLElement>("[data-order]");
        if (this.isSending) return false;
        if (found?.dataset["state"] !== this.state) {
          location.reload();
          return true;
        }
        for (const part of this.root.querySelectorAll<HTMLElement>("[data-live]")) {
          const fresh = page.querySelector(`[data-live="${part.dataset["live"]}"]`);
          if (!fresh) continue;
          localizeTimes(fresh);
          localizeAmounts(fresh);
          part.replaceChildren(...fresh.childNodes);
        }
        return true;
      } catch {
        return false;
      }
    },

    submit(event: Event) {
      event.preventDefault();
      if (!this.isSending) void this.post(event.target as HTMLFormElement);
    },
    /** Sends a form. Each of them may be sent again: a checkout and a cancellation that came have the same effect twice as once. */
    async post(form: HTMLFormElement): Promise<void> {
      this.isSending = true;
      this.waiting = form;
      this.hush();
      try {
        const fields = new URLSearchParams();
        for (const [name, value] of new FormData(form)) fields.append(name, String(value));
        const answer = await fetch(form.action, {
          method: "POST", body: fields, redirect: "manual", cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(15_000),
        });
        // A redirect leads to the page where it goes on; anything else in HTML is this page with the reason.
        const isDone = answer.type === "opaqueredirect" || answer.ok;
        if (isDone || answer.headers.get("Content-Type")?.startsWith("text/html")) {
          if (isDone) location.assign(form.action.replace(/\/(checkout|cancel)(?=$|\?)/, ""));
          else location.reload();
          // The forms stay busy until the page has gone: a look would load it anew, and it would not go on.
          await new Promise((resolve) => setTimeout(resolve, LEAVES_WITHIN_MS));
          return;
        }
        const seconds = Number(answer.headers.get("Retry-After"));
        const members = (await answer.json()) as Record<string, unknown>;
        const problem: Problem = {
          code: String(members["code"] ?? ""), status: answer.status, detail: String(members["detail"] ?? ""),
          requestId: answer.headers.get("Request-Id") ?? "", members,
        };
        this.sayProblem(problem);
        if (isTransient(problem)) this.tryAgainAfter(seconds > 0 ? seconds : 2);
        else this.waiting = undefined;
      } catch {
        this.say("warn", t("lost.title"), t("lost.text"));
        this.tryAgainAfter(2);
      } finally {
        this.isSending = false;
      }
    },
    print() {
      window.print();
    },
  });
}
