// One drop in one element: what is shown, and what the buyer does.

import { type Problem, send, serverNow } from "../shared/api";
import { isTransient } from "../shared/refusal";
import type { Room } from "../shared/room";
import { guest, tab } from "../shared/storage";
import { type Words, wordsOf } from "../shared/words";
import { follow } from "../storefront/live";
import { Line } from "./line";
import { Notice } from "./notice";
import { type Drop, Offer } from "./offer";
import { type Order, type Outcome, Purchase } from "./purchase";
import { Reservation } from "./reservation";
import { WaitingRoom } from "./room";
import { h } from "./dom";
import { reasonOfSilence, watchPolicy } from "./silence";

export interface Setting {
  id: string;
  api: string;
  language: string;
  texts: Readonly<Record<string, string>>;
  /** The buyer's name, for servers without tokens. */
  buyer: string | null;
}

interface Host extends HTMLElement {
  readonly token: string | null;
}

const TICK_MS = 250;
const LOOK_EVERY_MS = 3_000;

export class Sale {
  readonly #words: Words;
  readonly #api: string;
  readonly #ends: (() => void)[] = [];
  readonly #root: HTMLElement;
  readonly #notice: Notice;
  readonly #orderNotice: Notice;
  readonly #offer: Offer;
  readonly #reservation: Reservation;
  readonly #purchase: Purchase;
  readonly #waiting: WaitingRoom;
  readonly #line: Line;
  #followsRoom = false;
  readonly #orderKey: string;
  #order: Order | undefined;
  #isBusy = false;
  #isOver = false;
  #isSilent = false;
  #wasClicked = false;
  #look: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly host: Host, shadow: ShadowRoot, private readonly setting: Setting) {
    const words = wordsOf(setting.language, () => setting.texts);
    this.#words = words;
    this.#notice = new Notice(words);
    this.#orderNotice = new Notice(words);
    this.#offer = new Offer(words, this.#notice.root, () => this.buy());
    this.#reservation = new Reservation(words, (order) => this.pageOf(order), this.#orderNotice.root, {
      pay: (event) => this.pay(event),
      giveBack: () => void this.giveBack(),
      leave: () => this.leave(),
    });
    this.#root = h("div.root", { lang: setting.language }, this.#offer.root, this.#reservation.root);
    shadow.replaceChildren(this.#root);
    this.#api = addressOf(setting.api) ?? "";
    this.#orderKey = `firstcome.order.${this.#api}.${setting.id}`;
    const buyer = () => ({ token: host.token, name: setting.buyer ?? guest() });
    this.#purchase = new Purchase(this.#api, setting.id, buyer);
    this.#waiting = new WaitingRoom(words, this.#api, setting.id, buyer, (problem) => this.noTicket(problem));
    const granted = (order: Order) => this.granted(order);
    const over = (title: string, text?: string) => this.#notice.say(text ? "warn" : "", words.t(title), text ? words.t(text) : "");
    this.#line = new Line(words, this.#api, setting.id, buyer, granted, over, (problem) => this.noTicket(problem));
    this.#offer.root.insertBefore(this.#waiting.root, this.#notice.root);
    this.#offer.root.insertBefore(this.#line.root, this.#notice.root);
    if (!/^[1-9]\d{0,9}$/.test(setting.id)) this.fail("component.no_id");
    else if (this.#api === "") this.fail("component.bad_api");
    else this.begin();
  }

  private begin(): void {
    this.#notice.say("", this.#words.t("component.loading"));
    const path = `${this.#api}/v1/drops/${this.setting.id}`;
    const ticker = setInterval(() => this.tick(), TICK_MS);
    this.#ends.push(
      () => clearInterval(ticker),
      () => clearTimeout(this.#look),
      watchPolicy(this.#api),
      follow<Drop>(path, (drop) => this.take(drop), (isReached, problem) => this.reach(isReached, problem)),
    );
    this.signedIn();
  }

  end(): void {
    this.#isOver = true;
    for (const end of this.#ends.splice(0)) end();
  }

  /** Goes on with what waits for a token: at the begin, and whenever the page sets one. */
  signedIn(): void {
    if (this.#isOver || this.#ends.length === 0) return;
    const known = tab.get(this.#orderKey);
    if (known && !this.#order) void this.lookAtOrder(known);
    // A page that went away while it asked, or while the buyer signed in, asks again with the same key.
    if (!known && this.#purchase.pending) void this.ask();
    else if (!known) this.#line.begin();
  }

  /** Shows why there is nothing to show; `console.error` tells the page's author. */
  private fail(key: string, values: Record<string, string> = {}): void {
    const { t } = this.#words;
    const text = t(key, values);
    this.#offer.root.hidden = true;
    this.#reservation.root.hidden = true;
    if (!this.#notice.root.isConnected || this.#notice.root.parentElement !== this.#root) this.#root.append(this.#notice.root);
    if (!this.#notice.shows(t("component.failed"))) console.error(`firstcome-drop: ${text}`);
    this.#notice.say("bad", t("component.failed"), text);
  }

  private take(drop: Drop): void {
    const { t } = this.#words;
    const before = this.#offer.drop;
    this.#offer.take(drop);
    if (!before && (this.#notice.shows(t("component.loading")) || this.#isSilent)) this.recover();
    if (drop.room && !this.#followsRoom) {
      this.#followsRoom = true;
      const path = `${this.#api}/v1/drops/${this.setting.id}/room`;
      this.#ends.push(follow<Room>(path, (room) => this.#waiting.take(room), () => undefined));
    }
    this.#line.moved();
    const pending = this.#purchase.pending;
    if (!before && pending) this.#offer.setQuantity(pending.quantity);
    if (before?.available === 0 && drop.available > 0 && drop.state === "live" && drop.sold > 0 && !this.isWaiting && !this.#line.isIn) {
      this.#notice.say("good", t("drop.came_back"));
    } else if (drop.available === 0 && this.#notice.shows(t("drop.came_back"))) {
      this.#notice.hush();
    }
    this.draw();
  }

  private reach(isReached: boolean, problem?: Problem): void {
    const { t } = this.#words;
    if (isReached) {
      if (this.#isSilent) this.recover();
      return;
    }
    this.#isSilent = true;
    if (problem?.code === "not-found") {
      this.fail("component.unknown", { id: this.setting.id, api: this.#api });
    } else if (problem && !isTransient(problem)) {
      this.#notice.sayProblem(problem);
    } else if (this.#offer.drop) {
      if (!this.#notice.isShown) this.#notice.say("warn", t("lost.title"), t("drop.offline"));
    } else {
      void reasonOfSilence(this.#api).then((reason) => {
        if (this.#isOver || this.#offer.drop) return;
        if (reason) this.fail(reason, { api: this.#api, origin: location.origin });
        else this.#notice.say("warn", t("lost.title"), t("drop.offline"));
      });
    }
  }

  /** The server answers again. */
  private recover(): void {
    this.#isSilent = false;
    const { t } = this.#words;
    if (this.#notice.root.parentElement === this.#root) {
      this.#offer.root.insertBefore(this.#notice.root, this.#offer.root.querySelector("form"));
    }
    if (["component.failed", "component.loading", "lost.title"].some((key) => this.#notice.shows(t(key))) && !this.isWaiting) this.#notice.hush();
    this.draw();
  }

  private get isWaiting(): boolean {
    return this.#isBusy || this.#notice.retryAt > 0;
  }

  private tick(): void {
    const now = serverNow();
    this.#notice.tick();
    this.#orderNotice.tick();
    this.#line.tick();
    if (this.#notice.retryAt > 0 && now >= this.#notice.retryAt && !this.#isBusy) {
      this.#notice.retryAt = 0;
      void this.ask();
    }
    this.draw();
  }

  private draw(): void {
    const isOrdered = this.#order !== undefined;
    this.#reservation.root.hidden = !isOrdered;
    this.#offer.root.hidden = isOrdered || this.#offer.drop === undefined;
    if (!isOrdered && !this.#offer.drop && this.#notice.root.parentElement !== this.#root) this.#root.append(this.#notice.root);
    if (this.#order) this.#reservation.draw(this.#order, this.#offer.drop?.name ?? "", this.#isBusy);
    else this.drawOffer();
  }

  private drawOffer(): void {
    this.#line.draw();
    this.#waiting.draw(this.#line.isIn);
    this.#offer.isTurn = !this.#followsRoom || this.#waiting.mayAsk;
    this.#offer.standsBy = this.#line.isIn;
    this.#offer.draw(this.isWaiting);
  }

  private noTicket(problem: Problem | undefined): void {
    const { t } = this.#words;
    this.#wasClicked = true;
    if (problem?.code === "unauthorized") this.askForToken();
    else if (problem) this.#notice.sayProblem(problem);
    else this.#notice.say("warn", t("lost.title"), t("drop.offline"));
  }

  private granted(order: Order): void {
    tab.set(this.#orderKey, order.id);
    this.#notice.hush();
    this.takeOrder(order);
  }

  private buy(): void {
    if (this.isWaiting) return;
    this.#wasClicked = true;
    this.#purchase.begin(this.#offer.wish());
    void this.ask();
  }

  private stop(): void {
    this.#notice.hush();
    this.#purchase.stop();
    this.draw();
    this.#offer.button.focus();
  }

  private async ask(): Promise<void> {
    if (this.#isBusy) return;
    const { t } = this.#words;
    this.#isBusy = true;
    this.#notice.hush();
    this.draw();
    try {
      const outcome = await this.#purchase.ask(() => this.#notice.say("", t("problem.challenge-required"), t("problem.challenge-required.text")));
      if (outcome && !this.#isOver) this.show(outcome);
    } finally {
      this.#isBusy = false;
      this.draw();
    }
  }

  private show(outcome: Outcome): void {
    const { t } = this.#words;
    const again = () => this.#notice.offer(t("try.again"), () => this.restart());
    switch (outcome.kind) {
      case "order":
        this.granted(outcome.order);
        return;
      case "line":
        this.#line.take(outcome.place, outcome.key);
        return;
      case "sign-in":
        this.askForToken();
        return;
      case "lost":
        this.#notice.say("warn", t("lost.title"), t("lost.text"));
        if (outcome.after === undefined) again();
        else this.#notice.tryAgainAfter(outcome.after, () => this.stop());
        return;
      case "unsolved":
        this.#notice.say("bad", t("problem.challenge-failed"), t("problem.challenge-failed.text"));
        again();
        return;
      case "refused":
        this.refused(outcome.problem, outcome.after, again);
        return;
    }
  }

  private refused(problem: Problem, after: number | undefined, again: () => void): void {
    const { t } = this.#words;
    this.#notice.sayProblem(problem);
    if (after !== undefined) return this.#notice.tryAgainAfter(after, () => this.stop());
    if (isTransient(problem)) again();
    const next = problem.members["next_expiry_at"];
    if (problem.code === "sold-out" && typeof next === "string") this.#notice.waitFor(t("drop.next_return"), Date.parse(next));
    const known = tab.get(this.#orderKey);
    if (problem.code === "limit-reached" && known) this.#notice.offer(t("drop.open_order"), () => void this.lookAtOrder(known));
  }

  private restart(): void {
    this.#wasClicked = true;
    this.#purchase.begin(this.#purchase.pending ?? this.#offer.wish());
    void this.ask();
  }

  /** Tells the page that the buyer must sign in. The wish waits for the token. */
  private askForToken(): void {
    const { t } = this.#words;
    const isRenewal = this.host.token !== null;
    const tell = () => this.tell("firstcome-sign-in", { dropId: this.setting.id, isRenewal });
    this.#notice.say("warn", t(isRenewal ? "problem.unauthorized" : "component.sign_in"), t("component.sign_in_text"));
    this.#notice.offer(t("component.sign_in_button"), tell);
    // What goes on by itself after a reload sends nobody away: the page may be about to set the token.
    if (this.#wasClicked) tell();
  }

  private tell(name: string, detail: unknown, cancelable = false): boolean {
    return this.host.dispatchEvent(new CustomEvent(name, { bubbles: true, composed: true, cancelable, detail }));
  }

  private takeOrder(order: Order): void {
    const [before, hadFocus] = [this.#order, this.host.shadowRoot?.activeElement != null];
    this.#order = order;
    this.draw();
    if (before?.state !== order.state) {
      this.tell("firstcome-order", { order });
      // The element that had the focus is gone: what came of the click is read next.
      if (hadFocus) this.#reservation.title.focus();
    }
    clearTimeout(this.#look);
    if (order.state === "reserved" || order.state === "awaiting_payment") {
      this.#look = setTimeout(() => void this.lookAtOrder(order.id), LOOK_EVERY_MS * (1 + Math.random() / 2));
    }
  }

  /** Asks how an order stands: it is paid elsewhere, expires, or is changed by the shop. */
  private async lookAtOrder(id: string): Promise<void> {
    clearTimeout(this.#look);
    const later = () => {
      if (!this.#isOver) this.#look = setTimeout(() => void this.lookAtOrder(id), LOOK_EVERY_MS);
    };
    if (document.hidden && this.#order) return later();
    const answer = await send<Order>(`${this.#api}/v1/orders/${encodeURIComponent(id)}`, { token: this.host.token });
    if (this.#isOver) return;
    if (answer.kind === "ok") return this.takeOrder(answer.body);
    if (answer.kind !== "problem" || isTransient(answer.problem)) return later();
    // Without the buyer's token the order is kept for when there is one.
    if (answer.problem.code === "not-found") tab.set(this.#orderKey, null);
  }

  /** The page where an order is paid; it has the form for what the shop must know. */
  private pageOf(order: Order): string {
    const url = new URL(order.payment_url ?? `${this.#api}/pay/${encodeURIComponent(order.id)}`);
    url.searchParams.set("lang", this.setting.language.split("-")[0] ?? "en");
    return url.href;
  }

  private pay(event: Event): void {
    if (this.#order && !this.tell("firstcome-checkout", { order: this.#order }, true)) event.preventDefault();
  }

  private async giveBack(): Promise<void> {
    const order = this.#order;
    if (!order || this.#isBusy) return;
    this.#isBusy = true;
    this.draw();
    try {
      const answer = await send<Order>(`${this.#api}/v1/orders/${encodeURIComponent(order.id)}/cancel`, { method: "POST", token: this.host.token });
      if (answer.kind === "ok") {
        this.#orderNotice.hush();
        this.takeOrder(answer.body);
      } else if (answer.kind === "problem") {
        this.#orderNotice.sayProblem(answer.problem);
        void this.lookAtOrder(order.id);
      } else {
        const { t } = this.#words;
        this.#orderNotice.say("warn", t("lost.title"), t("drop.offline"));
      }
    } finally {
      this.#isBusy = false;
      this.draw();
    }
  }

  private leave(): void {
    this.#waiting.hasOrder = this.#order?.state === "paid";
    this.#order = undefined;
    tab.set(this.#orderKey, null);
    this.#orderNotice.hush();
    this.draw();
    this.#offer.button.focus();
  }
}

/** Returns a server's address without a slash at its end, or nothing for what is no address. */
function addressOf(text: string): string | undefined {
  try {
    const { protocol, origin, pathname } = new URL(text, location.href);
    return /^https?:$/.test(protocol) ? (origin + pathname).replace(/\/+$/, "") : undefined;
  } catch {
    return undefined;
  }
}
