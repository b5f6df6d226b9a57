// The page of an auction.

import { type Answer, send, serverNow } from "../shared/api";
import { TRIES_MAX } from "../shared/refusal";
import { tab } from "../shared/storage";
import { duration, instant, money, parseMoney, plainMoney, t } from "../shared/words";
import { orderPath } from "./drop";
import { Intent } from "./intent";
import { follow } from "./live";
import { isTransient, joined, notice } from "./notice";
import { buyer, loginUrl, needsToken, signIn, token } from "./session";

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
}

interface Offer {
  amount: number;
  maximum?: number;
}

interface Magic {
  $root: HTMLElement;
}
type Component = ReturnType<typeof auction> & Magic;

export function auction() {
  return joined(notice(), {
    id: "",
    currency: "EUR",
    digits: 2,
    state: "live",
    price: 0,
    minimum: 0,
    bids: 0,
    reserveMet: undefined as boolean | undefined,
    leader: undefined as string | undefined,
    starts: 0,
    ends: 0,
    hasBid: false,
    isBusy: false,
    tries: 0,
    intent: undefined as unknown as Intent<Offer>,
    root: undefined as unknown as HTMLElement,

    init(this: Component) {
      const root = this.$root;
      const number = (name: string) => Number(root.dataset[name] ?? 0);
      this.root = root;
      [this.id, this.currency, this.digits] = [root.dataset["auction"] ?? "", root.dataset["currency"] ?? "EUR", number("digits")];
      [this.state, this.price, this.minimum, this.bids] = [root.dataset["state"] ?? "live", number("price"), number("minimum"), number("bids")];
      [this.starts, this.ends] = [number("starts"), number("ends")];
      this.hasBid = tab.get(`firstcome.bid.${this.id}`) !== null;
      this.intent = new Intent<Offer>(`auction.${this.id}`);
      setInterval(() => this.tick(), 250);
      follow<Auction>(`/v1/auctions/${this.id}`, (state) => this.take(state), () => undefined);
      if (this.intent.pending && (!needsToken || token())) void this.ask();
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
      if (this.state === "live" && this.ends > 0 && ends > this.ends && !this.hasNotice) this.say("", t("auction.extended"), "");
      [this.state, this.price, this.minimum] = [state.state, state.current ?? state.start_price, state.minimum_next];
      [this.bids, this.leader, this.reserveMet] = [state.bids, state.buyer, state.reserve_met];
      [this.starts, this.ends] = [Date.parse(state.starts_at), ends];
      if ((this.state === "sold" || this.state === "bought_now") && this.isMine) void this.findOrder();
    },
    /** The winner's order is the way to the payment. */
    async findOrder(): Promise<void> {
      const query = needsToken ? "" : `?buyer=${encodeURIComponent(buyer() ?? "")}`;
      const answer = await send<{ id: string }>(`/v1/auctions/${this.id}/order${query}`, { token: token() });
      if (answer.kind !== "ok") return;
      this.say("good", t("auction.won"), "");
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
      return this.reserveMet === undefined ? "" : t(this.reserveMet ? "auction.reserve_met" : "auction.reserve_open");
    },
    get hasStanding(): boolean {
      return this.isMine || (this.hasBid && this.isOpen);
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
      this.tries = 0;
      // Another amount is another wish: the server would refuse the key of the first.
      const offer: Offer = maximum === null ? { amount } : { amount, maximum };
      if (JSON.stringify(this.intent.pending) !== JSON.stringify(offer)) this.intent.renew();
      this.intent.begin(offer);
      if (needsToken && !token()) signIn();
      else void this.ask();
    },
    retry() {
      this.tries = 0;
      void this.ask();
    },
    stopTrying() {
      this.hush();
    },
    async ask(): Promise<void> {
      const offer = this.intent.pending;
      if (this.isBusy || !offer) return;
      this.isBusy = true;
      this.hush();
      this.tries += 1;
      try {
        const name = needsToken ? {} : { buyer: buyer() };
        const headers = { "Idempotency-Key": this.intent.key };
        const answer = await send<{ leading: boolean }>(`/v1/auctions/${this.id}/bids`, { method: "POST", token: token(), headers, body: { ...name, ...offer } });
        this.answered(answer);
      } finally {
        this.isBusy = false;
      }
    },
    answered(answer: Answer<{ leading: boolean }>) {
      if (answer.kind === "ok") {
        this.intent.renew();
        this.hasBid = true;
        tab.set(`firstcome.bid.${this.id}`, "1");
        this.root.querySelector("form")?.reset();
        this.say(answer.body.leading ? "good" : "warn", t(answer.body.leading ? "auction.leading" : "auction.outbid"), "");
        return;
      }
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
      this.sayProblem(problem, { current: shown("current") || this.priceText, minimum: shown("minimum_next") });
      if (problem.code === "unauthorized") {
        if (loginUrl) setTimeout(signIn, 1_500);
      } else if (isTransient(problem) && this.tries < TRIES_MAX) {
        this.tryAgainAfter(problem.retryAfter ?? 2);
      } else {
        this.intent.renew();
      }
    },
  });
}
