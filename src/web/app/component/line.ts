// The buyer's place in the line behind a drop that is sold out, or the number of an order that a blind window recorded, and the order
// that came of it.

import { type Problem, send, serverNow } from "../shared/api";
import { RECORDED, type Standby, isRecorded, leftWords, nextLook, placeWords, soonerLook, untilDecided } from "../shared/standby";
import { browser, subjectOf, tab } from "../shared/storage";
import type { Words } from "../shared/words";
import { disable, h, write } from "./dom";
import type { Buyer, Order } from "./purchase";

export class Line {
  readonly root = h("div.view", { part: "line", role: "group", hidden: true });
  readonly #title = h("p.title", { part: "title", role: "status" });
  readonly #ahead = h("span");
  readonly #held = h("span.soft");
  readonly #next = h("p.small.num");
  readonly #text = h("p.soft", { part: "text" });
  readonly #button = h("button.button.ghost", { type: "button", part: "second-button" });
  #place: Standby<Order> | undefined;
  #askAt = 0;
  #isLeaving = false;

  constructor(
    private readonly words: Words,
    private readonly api: string,
    private readonly dropId: string,
    private readonly buyer: () => Buyer,
    private readonly granted: (order: Order) => void,
    /** Says what became of a place without an order. */
    private readonly over: (title: string, text?: string) => void,
    private readonly refused: (problem: Problem | undefined) => void,
  ) {
    this.#button.addEventListener("click", () => void this.leave());
    this.root.append(this.#title, h("p.row.small.num", {}, this.#ahead, this.#held), this.#next, this.#text, this.#button);
  }

  /** True while the buyer stands by. */
  get isIn(): boolean {
    return this.#place !== undefined;
  }

  private get storage(): { get(key: string): string | null; set(key: string, value: string | null): void } {
    return this.buyer().token ? tab : browser;
  }

  private get name(): string {
    const { token, name } = this.buyer();
    return `firstcome.standby.${this.api}.${this.dropId}.${token ? (subjectOf(token) ?? "") : name}`;
  }

  private get keyName(): string {
    return `${this.name}.key`;
  }

  /** Asks for a place that this browser keeps. */
  begin(): void {
    // The place of the buyer of before, after another one has signed in.
    this.#place = undefined;
    if (this.storage.get(this.name)) void this.ask();
  }

  /** `joined` is the key of a request to join: later looks with it are told the order. */
  take(place: Standby<Order>, joined?: string): void {
    if (place.state === "ordered") {
      this.forget();
      if (place.order) this.granted(place.order);
      return;
    }
    if (place.state === "left") {
      this.forget();
      this.over(...leftWords(place));
      return;
    }
    // A repeat from another tab has another key than the place.
    if (joined && !this.#place) this.storage.set(this.keyName, joined);
    this.#place = place;
    this.storage.set(this.name, isRecorded(place) ? RECORDED : "1");
    this.#askAt = nextLook(place);
  }

  /** The figures of the drop have changed. */
  moved(): void {
    if (this.#place) this.#askAt = soonerLook(this.#place, this.#askAt);
  }

  tick(): void {
    if (!this.#place || Date.now() < this.#askAt || document.hidden || this.#isLeaving) return;
    this.#askAt = nextLook(this.#place);
    void this.ask();
  }

  private forget(): void {
    this.#place = undefined;
    this.storage.set(this.name, null);
  }

  private async call(method: "GET" | "DELETE") {
    const { token, name } = this.buyer();
    const path = `${this.api}/v1/drops/${this.dropId}/standby${token ? "" : `?buyer=${encodeURIComponent(name)}`}`;
    return send<Standby<Order>>(path, { method, token, headers: { "Idempotency-Key": this.storage.get(this.keyName) ?? "" } });
  }

  private async ask(): Promise<void> {
    const answer = await this.call("GET");
    if (this.#isLeaving) return;
    if (answer.kind === "ok") this.take(answer.body);
    else if (answer.kind === "problem" && answer.problem.status === 404) {
      const wasRecorded = this.storage.get(this.name) === RECORDED;
      this.forget();
      // The drop has ended, and nothing tells what became of a recorded order.
      if (wasRecorded) this.over("blind.missed", "blind.missed_text");
    }
  }

  private async leave(): Promise<void> {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    this.draw();
    const answer = await this.call("DELETE");
    this.#isLeaving = false;
    if (answer.kind === "ok") {
      const left = isRecorded(this.#place) ? "blind.left" : "standby.left";
      this.forget();
      this.over(left);
      return;
    }
    if (answer.kind !== "problem") this.refused(undefined);
    else if (answer.problem.status !== 404) this.refused(answer.problem);
    // What became of it: a unit may have come back meanwhile.
    void this.ask();
  }

  draw(): void {
    const { t, duration } = this.words;
    this.root.hidden = !this.isIn;
    if (this.root.hidden) return;
    disable(this.#button, this.#isLeaving);
    const place = this.#place;
    const isDrawn = isRecorded(place);
    write(this.#button, t(isDrawn ? "blind.leave" : "standby.leave"));
    this.#ahead.parentElement!.hidden = isDrawn;
    if (isDrawn) {
      const left = untilDecided(place);
      write(this.#title, t("blind.title", { n: place?.ticket ?? 0 }));
      this.#next.hidden = !(left > 0);
      write(this.#next, `${t("blind.wait")} ${duration(left)}`);
      write(this.#text, t(left > 0 ? "blind.text" : "blind.soon"));
      return;
    }
    const { title, ahead, held, text } = placeWords(this.#place, this.words);
    write(this.#title, title);
    write(this.#ahead, `${ahead} ${t("room.ahead")}`);
    write(this.#held, held);
    const next = Date.parse(this.#place?.next_expiry_at ?? "") - serverNow();
    this.#next.hidden = !(next > 0);
    if (next > 0) write(this.#next, `${t("drop.next_return")} ${duration(next)}`);
    write(this.#text, text);
  }
}
