// The page of an auction.

import { type Answer, send, serverNow } from "../shared/api";
import { TRIES_MAX } from "../shared/refusal";
import { tab } from "../shared/storage";
import { duration, instant, money, parseMoney, plainMoney, t } from "../shared/words";
import { orderPath } from "./known";
import { Intent } from "./intent";
import { follow } from "./live";
import { dropServersClasses, isTransient, joined, notice } from "./notice";
import { buyer, hasReturned, loginUrl, needsToken, signIn, token } from "./session";

interface Auction {
  state: string;
  starts_at: string;
  ends_at: string;
  start_price: number;
  reserve_met: boolean;
  current?: number;
  buyer?: string;
  bids: number;
  minimum_next: number;
  /** The fixed price, until the first bid. */
  buy_now?: number;
}

interface Offer {
  amount: number;
  maximum?: number;
  contact?: { email: string };
}

interface Order {
  id: string;
  state: string;
}

interface Magic {
  $root: HTMLElement;
}
type Component = ReturnType<typeof auction> & Magic;

/** A bid of so many times the next minimum is asked about again. */
const FAR_ABOVE = 10;

export function auction() {
  return joined(notice(), {
    id: "",
    currency: "EUR",
    digits: 2,
    state: "live",
    price: 0,
    minimum: 0,
    bids: 0,
    reserveMet: false,
    hadReserve: false,
    leader: undefined as string | undefined,
    starts: 0,
    ends: 0,
    hasBid: false,
    fixedPrice: 0,
    order: undefined as Order | undefined,
    isBusy: false,
    tries: 0,
    intent: undefined as unknown as Intent<Offer>,
    purchase: undefined as unknown as Intent<object>,
    root: undefined as unknown as HTMLElement,

    init(this: Component) {
      const root = this.$root;
      const number = (name: string) => Number(root.dataset[name] ?? 0);
      this.root = root;
      dropServersClasses(root);
      [this.id, this.currency, this.digits] = [root.dataset["auction"] ?? "", root.dataset["currency"] ?? "EUR", number("digits")];
      [this.state, this.price, this.minimum, this.bids] = [root.dataset["state"] ?? "live", number("price"), number("minimum"), number("bids")];
      [this.starts, this.ends] = [number("starts"), number("ends")];
      this.hasBid = tab.get(`firstcome.bid.${this.id}`) !== null;
      this.fixedPrice = number("buyNow");
      this.reserveMet = root.dataset["reserve"] === "true";
      this.hadReserve = !this.reserveMet;
      this.intent = new Intent<Offer>(`auction.${this.id}`);
      this.purchase = new Intent<object>(`auction.${this.id}.buy`);
      setInterval(() => this.tick(), 250);
      follow<Auction>(`/v1/auctions/${this.id}`, (state) => this.take(state), () => undefined);
      // A wish goes on after a reload, and after the sign-in that it was sent to; an older one waits for a click.
      const isUnderWay = this.intent.isUnderWay || this.purchase.isUnderWay;
      const isPending = this.intent.pending !== undefined || this.purchase.pending !== undefined;
      if (isPending && (isUnderWay || hasReturned) && (!needsToken || token())) void this.ask();
      else if (isPending) this.stopTrying();
      window.addEventListener("pageshow", (event) => {
        if (event.persisted) location.reload();
      });
    },
    tick() {
      this.now = serverNow();
      if (this.retryAt > 0 && this.now >= this.retryAt && !this.isBusy) {
        this.retryAt = 0;
        void this.ask();
      }
    },
    take(state: Auction) {
      const ends = Date.parse(state.ends_at);
      const hadLead = this.isMine;
      if (this.state === "live" && this.ends > 0 && ends > this.ends && !this.hasNotice) this.say("", t("auction.extended"), "");
      [this.state, this.price, this.minimum] = [state.state, state.current ?? state.start_price, state.minimum_next];
      [this.bids, this.leader, this.reserveMet] = [state.bids, state.buyer, state.reserve_met];
      [this.starts, this.ends] = [Date.parse(state.starts_at), ends];
      this.fixedPrice = state.buy_now ?? 0;
      if (hadLead && !this.isMine && this.state === "live" && !this.isBusy) this.say("warn", t("auction.higher"), t("auction.outbid_text"));
      else if (!hadLead && this.isMine && this.noticeTitle === t("auction.higher")) this.hush();
      if (this.state === "ended" && this.hasBid) void this.findOrder();
    },
    /** The winner's order is the way to the payment. A later state may give it to the next bidder. */
    async findOrder(): Promise<void> {
      const query = needsToken ? "" : `?buyer=${encodeURIComponent(buyer() ?? "")}`;
      const answer = await send<Order>(`/v1/auctions/${this.id}/order${query}`, { token: token() });
      if (answer.kind !== "ok") return;
      if (this.order?.id === answer.body.id && this.order.state === answer.body.state) return;
      this.order = answer.body;
      const isOpen = answer.body.state === "reserved" || answer.body.state === "awaiting_payment";
      this.say(isOpen ? "good" : "", t("auction.won"), isOpen ? t("auction.won_text") : "");
      this.offer(orderPath(answer.body.id), t("drop.open_order"));
    },

    get isMine(): boolean {
      return this.leader !== undefined && this.leader === buyer();
    },
    get isOpen(): boolean {
      return this.state === "live" || this.state === "scheduled";
    },
    get word(): string {
      return t(this.state === "scheduled" || this.state === "live" || this.state === "cancelled" ? `state.${this.state}` : "state.ended");
    },
    get chip(): string {
      return `chip ${this.state === "live" ? "good" : this.state === "scheduled" ? "accent" : ""}`;
    },
    get clockLabel(): string {
      return t(this.state === "scheduled" ? "clock.starts" : this.state === "live" ? "clock.ends" : "clock.ended");
    },
    get clock(): string {
      if (this.state === "scheduled") return duration(this.starts - this.now);
      return this.state === "live" ? duration(this.ends - this.now) : instant(this.ends);
    },
    get priceLabel(): string {
      return t(this.bids === 0 ? "auction.start" : "auction.current");
    },
    get priceText(): string {
      return money(this.price, this.currency, this.digits);
    },
    get minimumText(): string {
      return money(this.minimum, this.currency, this.digits);
    },
    get minimumPlain(): string {
      return plainMoney(this.minimum, this.digits);
    },
    get bidsText(): string {
      return t("auction.bids", { n: this.bids });
    },
    get reserveText(): string {
      // Of an auction without a reserve price there is nothing to tell.
      if (this.reserveMet) return this.hadReserve ? t("auction.reserve_met") : "";
      return t("auction.reserve_open");
    },
    get hasStanding(): boolean {
      return this.isOpen && (this.isMine || this.hasBid);
    },
    get canBuyNow(): boolean {
      return this.fixedPrice > 0 && this.bids === 0 && this.isOpen;
    },
    get buyText(): string {
      return this.state === "scheduled" ? t("drop.not_yet") : t("auction.buy_now");
    },
    get endText(): string {
      if (this.state === "cancelled") return t("auction.ended_cancelled");
      if (this.state !== "ended" || this.order) return "";
      if (!this.reserveMet && this.bids > 0) return t("auction.ended_reserve");
      return t(this.hasBid ? "auction.lost" : "auction.over");
    },
    get hasEnded(): boolean {
      return this.endText !== "";
    },
    get standingText(): string {
      return t(this.isMine ? "auction.leading" : "auction.outbid");
    },
    get standingTone(): string {
      return `chip ${this.isMine ? "good" : "warn"}`;
    },
    get cannotBid(): boolean {
      return this.isBusy || this.retryAt > 0 || this.state !== "live" || (needsToken && !token() && !loginUrl);
    },
    get bidText(): string {
      if (this.isBusy || this.retryAt > 0) return t("auction.bidding");
      if (this.state === "scheduled") return t("drop.not_yet");
      return needsToken && !token() ? t("shop.sign_in") : t("auction.bid");
    },

    typedAmount(name: string): number | undefined | null {
      const input = this.root.querySelector<HTMLInputElement>(`input[name="${name}"]`);
      if (!input || input.value.trim() === "") return null;
      const amount = parseMoney(input.value, this.digits);
      input.setAttribute("aria-invalid", String(amount === undefined));
      if (amount === undefined) input.focus();
      return amount;
    },
    bid(event: Event) {
      event.preventDefault();
      if (this.cannotBid) return;
      const [amount, maximum] = [this.typedAmount("amount"), this.typedAmount("maximum")];
      if (amount === undefined || amount === null || maximum === undefined) {
        this.say("bad", t("problem.validation"), t("auction.bad_amount", { currency: this.currency }));
        return;
      }
      // A slip of the finger cannot be taken back.
      const isFarAbove = amount >= this.minimum * FAR_ABOVE && this.minimum > 0;
      if (isFarAbove && !window.confirm(t("auction.sure", { amount: money(amount, this.currency, this.digits), minimum: this.minimumText }))) return;
      this.tries = 0;
      const email = this.root.querySelector<HTMLInputElement>('input[name="email"]')?.value.trim() ?? "";
      const offer: Offer = { amount, ...(maximum === null ? {} : { maximum }), ...(email === "" ? {} : { contact: { email } }) };
      // Another amount is another wish: the server would refuse the key of the first.
      if (JSON.stringify(this.intent.pending) !== JSON.stringify(offer)) this.intent.renew();
      this.intent.begin(offer);
      if (needsToken && !token()) signIn();
      else void this.ask();
    },
    buyNow(event: Event) {
      event.preventDefault();
      if (this.cannotBid) return;
      this.tries = 0;
      this.purchase.begin({});
      if (needsToken && !token()) signIn();
      else void this.ask();
    },
    retry() {
      this.tries = 0;
      void this.ask();
    },
    stopTrying() {
      this.hush();
      // The keys stay: an answer that was lost is found by the next attempt.
      this.intent.settle();
      this.purchase.settle();
    },
    async ask(): Promise<void> {
      if (this.purchase.pending) return this.askToBuy();
      const offer = this.intent.pending;
      if (this.isBusy || !offer) return;
      this.isBusy = true;
      this.hush();
      this.tries += 1;
      this.intent.noteSent();
      try {
        const name = needsToken ? {} : { buyer: buyer() };
        const headers = { "Idempotency-Key": this.intent.key };
        const answer = await send<{ leading: boolean }>(`/v1/auctions/${this.id}/bids`, { method: "POST", token: token(), headers, body: { ...name, ...offer } });
        this.answered(answer);
      } finally {
        this.isBusy = false;
      }
    },
    async askToBuy(): Promise<void> {
      if (this.isBusy) return;
      this.isBusy = true;
      this.hush();
      this.tries += 1;
      this.purchase.noteSent();
      try {
        const body = needsToken ? {} : { buyer: buyer() };
        const headers = { "Idempotency-Key": this.purchase.key };
        const answer = await send<Order>(`/v1/auctions/${this.id}/buy-now`, { method: "POST", token: token(), headers, body });
        if (answer.kind !== "ok") {
          this.refused(answer, () => this.purchase.settle());
          if (answer.kind === "problem" && answer.problem.code === "bid-too-low") this.say("bad", t("auction.buy_now_over"), "");
          return;
        }
        this.purchase.renew();
        this.keepBid();
        location.assign(orderPath(answer.body.id));
        // The button stays busy until the page has gone.
        await new Promise((resolve) => setTimeout(resolve, 10_000));
      } finally {
        this.isBusy = false;
      }
    },
    keepBid() {
      this.hasBid = true;
      tab.set(`firstcome.bid.${this.id}`, "1");
    },
    answered(answer: Answer<{ leading: boolean }>) {
      if (answer.kind !== "ok") {
        this.refused(answer, () => this.intent.renew());
        return;
      }
      const sent = this.intent.pending;
      this.intent.renew();
      this.keepBid();
      // Another amount may have been typed meanwhile.
      if (this.typedAmount("amount") === sent?.amount) {
        for (const input of this.root.querySelectorAll<HTMLInputElement>('input[name="amount"], input[name="maximum"]')) input.value = "";
      }
      if (answer.body.leading) this.say("good", t("auction.placed"), "");
      else this.say("warn", t("auction.higher"), t("auction.outbid_text"));
    },
    refused(answer: Exclude<Answer<unknown>, { kind: "ok" }>, settle: () => void) {
      if (answer.kind !== "problem") {
        this.say("warn", t("lost.title"), t("lost.text"));
        this.tryAgainAfter(2);
        return;
      }
      const { problem } = answer;
      const shown = (name: string) => {
        const amount = problem.members[name];
        return typeof amount === "number" ? money(amount, this.currency, this.digits) : "";
      };
      this.sayProblem(problem, { current: (this.bids > 0 && shown("current")) || this.priceText, minimum: shown("minimum_next") });
      if (problem.code === "unauthorized") {
        this.intent.interrupt();
        this.purchase.interrupt();
        if (loginUrl) setTimeout(signIn, 1_500);
      } else if (isTransient(problem) && this.tries < TRIES_MAX) {
        this.tryAgainAfter(problem.retryAfter ?? 2);
      } else {
        settle();
        if (isTransient(problem)) this.canRetry = true;
      }
    },
  });
}
