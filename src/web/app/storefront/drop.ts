// The page of a drop.

import { type Answer, send, serverNow } from "../shared/api";
import { TRIES_MAX } from "../shared/refusal";
import type { Standby } from "../shared/standby";
import { count, duration, instant, money, t } from "../shared/words";
import { solveChallenge } from "./challenge";
import { Intent } from "./intent";
import { followOrder, knownOrder, noteOrder, orderPath } from "./known";
import { follow } from "./live";
import { dropServersClasses, isTransient, joined, notice } from "./notice";
import { room } from "./room";
import { standby } from "./standby";
import { buyer, hasReturned, loginUrl, needsToken, signIn, token } from "./session";

type State = "scheduled" | "live" | "paused" | "sold_out" | "ended";

interface Drop {
  state: State;
  total: number;
  available: number;
  held: number;
  sold: number;
  starts_at: string;
  ends_at?: string;
  unit_price: number;
  name: string;
  per_buyer_limit: number;
  /** The rule of its waiting room. */
  room?: { beacon?: "required" | "none"; beacon_seconds?: number };
  /** Buyers who stand by. */
  standby?: number;
}

/** An order, or an answer that comes before it (202): a place among those who stand by, or a recorded order. */
type Placed = { id: string } & Partial<Standby>;

interface Wish {
  quantity: number;
  /** Of a drop with caps on identities: the order must come with them. */
  contact?: Record<string, string>;
  /** Stand by if no unit is left. */
  standby?: boolean;
}

const TONES: Record<State, string> = { scheduled: "accent", live: "good", paused: "warn", sold_out: "bad", ended: "" };

/** Milliseconds in which a click still means the price before. */
const READ_PRICE_MS = 2_000;

export function drop() {
  return joined(joined(joined(notice(), room()), standby()), {
    id: "",
    currency: "EUR",
    digits: 2,
    price: 0,
    limit: 1,
    state: "live" as State,
    total: 0,
    available: 0,
    held: 0,
    sold: 0,
    starts: 0,
    ends: 0,
    quantity: 1,
    isBusy: false,
    hasOrder: false,
    tries: 0,
    /** The instant on this machine's monotonic clock at which the price became another. */
    newPriceAt: Number.NEGATIVE_INFINITY,
    isRepeating: false,
    intent: undefined as unknown as Intent<Wish>,
    root: undefined as unknown as HTMLElement,

    init(this: Component) {
      const root = this.$root;
      const number = (name: string) => Number(root.dataset[name] ?? 0);
      this.root = root;
      dropServersClasses(root);
      [this.id, this.currency, this.digits] = [root.dataset["drop"] ?? "", root.dataset["currency"] ?? "EUR", number("digits")];
      [this.price, this.limit, this.state] = [number("price"), number("limit"), (root.dataset["state"] ?? "live") as State];
      [this.total, this.available, this.held, this.sold] = [number("total"), number("available"), number("held"), number("sold")];
      [this.starts, this.ends] = [number("starts"), number("ends")];
      // The page of a refused form has the quantity that was asked for.
      this.setQuantity(Number(root.querySelector<HTMLInputElement>('input[name="quantity"]')?.value) || 1);
      this.intent = new Intent<Wish>(`drop.${this.id}`);
      this.drawBar();
      setInterval(() => this.tick(), 250);
      follow<Drop>(`/v1/drops/${this.id}`, (state) => this.take(state), (isReached) => this.reach(isReached));
      this.initRoom();
      this.initStandby();
      const known = knownOrder(this.id);
      if (known) void this.showOrder(known);
      followOrder(this.id, (id) => {
        if (id === null) this.hasOrder = false;
        else void this.showOrder(id);
      });
      // A page that went away while it asked, or while the buyer signed in, asks again with the same key. An older wish, and one
      // that was left at the sign-in, waits for a click.
      const { pending, isUnderWay } = this.intent;
      if (pending) this.setQuantity(pending.quantity);
      if (pending && (isUnderWay || hasReturned) && (!needsToken || token())) void this.ask();
      else if (pending) this.intent.leave();
      window.addEventListener("pageshow", (event) => {
        if (event.persisted) location.reload();
      });
    },

    /** Tells of an order that the buyer has, while it is one. */
    async showOrder(id: string): Promise<void> {
      const answer = await send<{ state: string }>(`/v1/orders/${id}`, { token: token() });
      const isGone = answer.kind === "ok" ? ["expired", "cancelled", "refunded"].includes(answer.body.state) : answer.kind === "problem" && answer.problem.status === 404;
      this.hasOrder = !isGone;
      if (isGone) noteOrder(this.id, null);
      else if (!this.hasNotice && !this.isBusy) {
        this.say("", t("drop.have_order"), "");
        this.offer(orderPath(id), t("drop.open_order"));
      }
    },

    granted(orderId: string, wasSeenWaiting: boolean) {
      noteOrder(this.id, orderId);
      // The time to pay runs; a page that is opened later offers the way.
      if (wasSeenWaiting) location.assign(orderPath(orderId));
      else void this.showOrder(orderId);
    },

    tick() {
      this.now = serverNow();
      this.tickRoom();
      this.tickStandby();
      if (this.retryAt > 0 && this.now >= this.retryAt && !this.isBusy) {
        this.retryAt = 0;
        void this.ask();
      }
    },
    take(state: Drop) {
      const before = this.available;
      [this.state, this.total, this.available, this.held, this.sold] = [state.state, state.total, state.available, state.held, state.sold];
      [this.starts, this.ends] = [Date.parse(state.starts_at), state.ends_at ? Date.parse(state.ends_at) : 0];
      this.takeOffer(state);
      this.beaconSeconds = state.room?.beacon === "required" ? (state.room.beacon_seconds ?? 0) : 0;
      this.lineMoved(state.standby ?? 0);
      if (before === 0 && this.available > 0 && this.state === "live" && !this.isBusy && this.retryAt === 0 && this.sold > 0 && !this.isInLine) {
        this.say("good", t("drop.came_back"), "");
      } else if (this.available === 0 && this.noticeTitle === t("drop.came_back")) {
        this.hush();
      }
      this.drawBar();
    },
    /** Shows another price, name or limit, and an offer that is over. */
    takeOffer(state: Drop) {
      const form = this.root.querySelector<HTMLElement>("form.buy");
      if (form) form.hidden = state.state === "ended";
      if (form?.nextElementSibling instanceof HTMLElement) form.nextElementSibling.hidden = state.state === "ended";
      const heading = this.root.querySelector("h1");
      if (heading && heading.textContent !== state.name) heading.textContent = state.name;
      this.limit = Math.min(state.per_buyer_limit, 65_535, Math.max(1, state.total));
      if (this.quantity > this.limit) this.setQuantity(this.limit);
      if (state.unit_price === this.price) return;
      this.price = state.unit_price;
      this.newPriceAt = performance.now();
      const price = money(this.price, this.currency, this.digits);
      const shown = this.root.querySelector<HTMLElement>(".price [data-amount]");
      if (shown) [shown.textContent, shown.dataset["amount"]] = [price, String(this.price)];
      this.say("warn", t("drop.new_price"), t("drop.new_price_text", { price }));
    },
    reach(isReached: boolean) {
      if (!isReached && !this.hasNotice) this.say("warn", t("lost.title"), t("drop.offline"));
      else if (isReached && this.noticeText === t("drop.offline")) this.hush();
    },
    drawBar() {
      const bar = this.root.querySelector<HTMLElement>('[data-bar="stock"]');
      bar?.style.setProperty("transform", `scaleX(${this.total > 0 ? this.available / this.total : 0})`);
    },

    get word(): string {
      return t(`state.${this.state}`);
    },
    get chip(): string {
      return `chip ${TONES[this.state]}`;
    },
    get clockLabel(): string {
      if (this.state === "ended") return this.ends > 0 ? t("clock.ended") : "";
      if (this.state !== "scheduled") return this.ends > 0 ? t("clock.ends") : "";
      return t("clock.starts");
    },
    get clock(): string {
      if (this.state === "ended") return this.ends > 0 ? instant(this.ends) : "";
      const at = this.state === "scheduled" ? this.starts : this.ends;
      return at > 0 ? duration(at - this.now) : "";
    },
    get stateText(): string {
      if (this.state === "paused") return t("drop.paused_text");
      if (this.state === "ended") return t("drop.ended_text");
      if (this.state !== "sold_out" || this.isInLine) return "";
      return this.held > 0 ? t("drop.sold_out_held", { n: this.held }) : t("drop.sold_out_all");
    },
    get hasStateText(): boolean {
      return this.stateText !== "";
    },
    get availableText(): string {
      return count(this.available);
    },
    get heldText(): string {
      return count(this.held);
    },
    get soldText(): string {
      return count(this.sold);
    },
    get atLeast(): boolean {
      return this.quantity <= 1;
    },
    get atMost(): boolean {
      return this.quantity >= this.limit;
    },
    /** Without a room there is always a form; with one, admitted buyers have it. */
    get hasForm(): boolean {
      return !this.isInLine && (!this.isRoomDrop || this.mayAsk || this.canStandBy);
    },
    /** Others than admitted buyers of a room may stand by while every unit is sold. */
    get canStandBy(): boolean {
      return this.state === "sold_out" && (!this.isRoomDrop || this.isTurn || this.held === 0);
    },
    get hasPromise(): boolean {
      return this.hasForm && !this.canStandBy;
    },
    get cannotStandBy(): boolean {
      return !this.canStandBy;
    },
    get lineCount(): string {
      return t("standby.count", { n: this.lineLength });
    },
    get hasLine(): boolean {
      return this.canStandBy && this.lineLength > 0 && !this.isInLine;
    },
    get cannotBuy(): boolean {
      if (this.isBusy || this.retryAt > 0) return true;
      if (needsToken && !token() && !loginUrl) return true;
      return this.state === "scheduled" || this.state === "paused" || this.state === "ended";
    },
    get buttonText(): string {
      if (this.isBusy || this.retryAt > 0) return t("drop.reserving");
      if (this.state === "scheduled") return t("drop.not_yet");
      if (this.state === "paused") return t("drop.paused");
      if (this.state === "ended") return t("drop.ended");
      if (needsToken && !token()) return t("drop.sign_in");
      if (this.state === "sold_out") return t("standby.join");
      return t("drop.reserve_total", { price: money(this.price * this.quantity, this.currency, this.digits) });
    },

    fewer() {
      this.setQuantity(this.quantity - 1);
    },
    more() {
      this.setQuantity(this.quantity + 1);
    },
    typed(event: Event) {
      const typed = Number((event.target as HTMLInputElement).value);
      if (Number.isInteger(typed) && typed >= 1) this.quantity = Math.min(this.limit, typed);
    },
    setQuantity(quantity: number) {
      this.quantity = Math.max(1, Math.min(this.limit, quantity));
      const input = this.root.querySelector<HTMLInputElement>('input[name="quantity"]');
      if (input) input.value = String(this.quantity);
    },

    wish(): Wish {
      const contact: Record<string, string> = {};
      for (const name of ["email", "phone", "address"]) {
        const field = this.root.querySelector<HTMLInputElement | HTMLTextAreaElement>(`form [name="${name}"]`);
        if (field && field.value.trim() !== "" && field.closest("[hidden]") === null) contact[name] = field.value;
      }
      const isStandby = this.canStandBy ? { standby: true } : {};
      return { quantity: this.quantity, ...isStandby, ...(Object.keys(contact).length > 0 ? { contact } : {}) };
    },
    buy(event: Event) {
      event.preventDefault();
      if (this.cannotBuy) return;
      // A click that was meant for the price before.
      if (performance.now() - this.newPriceAt < READ_PRICE_MS) return;
      this.tries = 0;
      this.intent.begin(this.wish());
      if (needsToken && !token()) {
        signIn();
        return;
      }
      void this.ask();
    },
    retry() {
      this.tries = 0;
      this.intent.begin(this.wish());
      void this.ask();
    },
    stopTrying() {
      this.hush();
      // The key stays: an answer that was lost is found by the next attempt.
      this.intent.leave();
    },

    async ask(solution?: string): Promise<void> {
      if (this.isBusy) return;
      this.isBusy = true;
      this.hush();
      this.tries += 1;
      this.intent.noteSent();
      try {
        const name = needsToken ? {} : { buyer: buyer() };
        const headers: Record<string, string> = { "Idempotency-Key": this.intent.key };
        if (solution) headers["Firstcome-Challenge"] = solution;
        const body = { ...name, ...(this.intent.pending ?? { quantity: this.quantity }) };
        const answer = await send<Placed>(`/v1/drops/${this.id}/orders`, { method: "POST", token: token(), headers, body });
        await this.answered(answer, solution !== undefined);
      } finally {
        this.isBusy = false;
      }
    },
    async answered(answer: Answer<Placed>, wasSolved: boolean): Promise<void> {
      if (answer.kind === "ok" && answer.status === 202) {
        this.takeLine(answer.body as Standby, this.intent.key);
        this.intent.renew();
        return;
      }
      if (answer.kind === "ok") {
        noteOrder(this.id, answer.body.id);
        this.intent.renew();
        location.assign(orderPath(answer.body.id));
        // The button stays busy until the page has gone.
        await new Promise((resolve) => setTimeout(resolve, 10_000));
        return;
      }
      if (answer.kind !== "problem") {
        this.say("warn", t("lost.title"), t("lost.text"));
        this.again(2);
        return;
      }
      const { problem } = answer;
      if (problem.code === "challenge-required") {
        if (wasSolved || (problem.members["challenge"] as { kind?: string } | undefined)?.kind !== "proof_of_work") {
          this.intent.settle();
          this.say("bad", t("problem.challenge-failed"), t("problem.challenge-failed.text"));
          this.canRetry = true;
          return;
        }
        this.say("", t("problem.challenge-required"), t("problem.challenge-required.text"));
        const solved = await solveChallenge("", this.id, token());
        this.isBusy = false;
        await this.ask(solved ?? "");
        return;
      }
      // The key has bought something before, and its answer was lost: the same request finds it.
      const { sent } = this.intent;
      if (problem.code === "idempotency-key-reused" && sent !== undefined && !this.isRepeating) {
        this.isRepeating = true;
        this.intent.begin(sent);
        this.isBusy = false;
        await this.ask();
        return;
      }
      if (problem.code === "idempotency-key-reused") this.intent.renew();
      if (problem.code === "unauthorized") {
        // The wish stays pending, and goes on behind the sign-in.
        this.intent.interrupt();
        this.sayProblem(problem);
        if (loginUrl) setTimeout(signIn, 1_500);
        return;
      }
      this.sayProblem(problem);
      if (isTransient(problem) && this.tries < TRIES_MAX) {
        this.again(problem.retryAfter ?? 2);
        return;
      }
      this.intent.settle();
      if (isTransient(problem)) this.canRetry = true;
      const next = problem.members["next_expiry_at"];
      if (problem.code === "sold-out" && typeof next === "string") this.waitFor(t("drop.next_return"), Date.parse(next));
      const known = knownOrder(this.id);
      if (problem.code === "limit-reached" && known) this.offer(orderPath(known), t("drop.open_order"));
    },
    again(seconds: number) {
      if (this.tries < TRIES_MAX) this.tryAgainAfter(seconds);
      else this.canRetry = true;
    },
  });
}

/** What Alpine adds to a component. */
interface Magic {
  $root: HTMLElement;
}
type Component = ReturnType<typeof drop> & Magic;
