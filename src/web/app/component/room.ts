// The waiting room of a drop, in place: the ticket, the place, and the turn with its clock.

import { type Problem, send, serverNow } from "../shared/api";
import { type Room, type Stage, type Ticket, type TicketAnswer, aheadOf, endOf, isOfAnother, mayAsk, needsAnswer, phaseOf, stageOf, ticketOf, unitsOf } from "../shared/room";
import { isTransient } from "../shared/refusal";
import { browser, subjectOf, tab } from "../shared/storage";
import type { Words } from "../shared/words";
import { bar, disable, fill, h, write } from "./dom";
import type { Buyer } from "./purchase";

/** The server is asked again after so long: the places of a crowd come at the same instant. */
const ASK_WITHIN_MS = 5_000;
const AGAIN_AFTER_SECONDS = 2;

const TITLES: Record<Stage, string> = {
  closed: "closed", gathering: "open", drawing: "drawing", line: "line", unknown: "drawing", waiting: "place", admitted: "turn", passed: "passed", ordered: "", none: "none", over: "",
};

export class WaitingRoom {
  readonly root = h("div.view", { part: "room", role: "group", hidden: true });
  readonly #title = h("p.title", { part: "title", role: "status" });
  readonly #label = h("p.small.soft", { id: "room-clock" });
  readonly #clock = h("p.timer.num", { part: "timer", role: "timer", "aria-labelledby": "room-clock" });
  readonly #ahead = h("p.small.num");
  readonly #bar = bar("place");
  readonly #text = h("p.soft", { part: "text" });
  readonly #button: HTMLButtonElement;
  #room: Room | undefined;
  #ticket: Ticket | undefined;
  #isTaking = false;
  #askAt = 0;
  /** The phase in which the ticket was asked for last. */
  #askedIn = "";
  /** The server has refused the ticket: it is asked again after a click. */
  #isRefused = false;
  /** The name of the buyer whose ticket was read. */
  #read = "";
  /** The buyer has an order that stands. */
  hasOrder = false;

  constructor(
    private readonly words: Words,
    private readonly api: string,
    private readonly dropId: string,
    private readonly buyer: () => Buyer,
    private readonly refused: (problem: Problem | undefined) => void,
  ) {
    this.#button = h("button.button.main", { type: "button", part: "button" });
    this.#button.addEventListener("click", () => {
      this.#isRefused = false;
      void this.ask();
    });
    this.root.append(this.#title, this.#label, this.#clock, this.#ahead, this.#bar, this.#text, this.#button);
  }

  /** True while the buyer may order. */
  get isTurn(): boolean {
    return this.#room !== undefined && this.stage === "admitted";
  }

  get mayAsk(): boolean {
    return this.#room !== undefined && mayAsk(this.#room, this.stage, serverNow());
  }

  private get stage(): Stage {
    return this.#room ? stageOf(this.#room, this.#ticket, serverNow(), this.hasOrder) : "over";
  }

  private get kept(): { get(key: string): string | null; set(key: string, value: string | null): void } {
    return this.buyer().token ? tab : browser;
  }

  private get name(): string {
    const { token, name } = this.buyer();
    return `firstcome.ticket.${this.api}.${this.dropId}.${token ? (subjectOf(token) ?? "") : name}`;
  }

  private keep(ticket: Ticket | undefined): void {
    this.#ticket = ticket;
    this.kept.set(this.name, ticket ? JSON.stringify(ticket) : null);
  }

  take(room: Room): void {
    this.#room = room;
    this.read();
  }

  /** Reads the buyer's ticket, if it is another buyer's than before. */
  private read(): void {
    if (this.#read !== this.name) {
      this.#read = this.name;
      [this.#askedIn, this.#isRefused] = ["", false];
      try {
        this.#ticket = (JSON.parse(this.kept.get(this.name) ?? "null") as Ticket | null) ?? undefined;
      } catch {
        this.#ticket = undefined;
      }
    }
    if (this.#room && this.#ticket && isOfAnother(this.#room, this.#ticket)) this.keep(undefined);
  }

  private async ask(): Promise<void> {
    if (this.#isTaking) return;
    this.#isTaking = true;
    const { token, name } = this.buyer();
    const body = token ? {} : { buyer: name };
    const answer = await send<TicketAnswer>(`${this.api}/v1/drops/${this.dropId}/tickets`, { method: "POST", token, body });
    this.#isTaking = false;
    if (answer.kind === "ok" && this.#room) {
      this.keep(ticketOf(answer.body, this.#room, serverNow()));
      return;
    }
    const problem = answer.kind === "problem" ? answer.problem : undefined;
    this.#isRefused = problem !== undefined && !isTransient(problem);
    if (!this.#isRefused) this.#askAt = Date.now() + (problem?.retryAfter ?? AGAIN_AFTER_SECONDS) * 1000;
    this.refused(problem);
  }

  /** Writes what the room is now; `standsBy` for a buyer whom the line behind the drop shows. */
  draw(standsBy: boolean): void {
    const room = this.#room;
    this.read();
    const { stage, words } = this;
    const { t, count, duration } = words;
    this.root.hidden = !room || stage === "over" || stage === "ordered" || standsBy;
    if (!room || this.root.hidden) return;
    const isPlaced = this.#ticket?.position !== undefined;
    if (this.#askAt === 0 && !this.#isTaking && !this.#isRefused && needsAnswer(room, this.#ticket, this.#askedIn)) {
      this.#askedIn = phaseOf(room, this.#ticket);
      this.#askAt = Date.now() + (isPlaced ? 0 : Math.random() * ASK_WITHIN_MS);
    }
    if (this.#askAt > 0 && Date.now() >= this.#askAt) {
      this.#askAt = 0;
      void this.ask();
    }
    const ticket = this.#ticket;
    const isKnown = ticket !== undefined && (stage === "gathering" || stage === "drawing" || stage === "unknown");
    write(this.#title, isKnown ? t("room.number", { n: ticket.number }) : t(`room.${TITLES[stage]}`, { n: (ticket?.position ?? 0) + 1 }));
    const until = stage === "closed" ? Date.parse(room.opens_at) : stage === "gathering" ? Date.parse(room.starts_at) : stage === "admitted" && !room.paused ? endOf(room, ticket) : 0;
    this.#clock.hidden = this.#label.hidden = until === 0;
    write(this.#label, t(stage === "closed" ? "room.opens_in" : stage === "gathering" ? "room.starts_in" : "order.left"));
    write(this.#clock, duration(until - serverNow()));
    const isWaiting = stage === "waiting";
    const ahead = isWaiting ? aheadOf(room, ticket?.position ?? 0) : room.tickets - room.serving;
    this.#ahead.hidden = !isWaiting && stage !== "line";
    this.#bar.hidden = !isWaiting;
    write(this.#ahead, `${count(ahead)} ${t("room.ahead")}`);
    fill(this.#bar, room.serving / Math.max(1, ticket?.position ?? 1));
    write(this.#text, this.textOf(room, stage, ahead));
    this.#text.hidden = this.#text.textContent === "";
    this.#button.hidden = ticket !== undefined || !["gathering", "drawing", "line"].includes(stage);
    disable(this.#button, this.#isTaking);
    write(this.#button, t(this.#isTaking ? "room.taking" : "room.take"));
  }

  private textOf(room: Room, stage: Stage, ahead: number): string {
    const { t, duration } = this.words;
    if (stage === "gathering") return t(this.#ticket ? "room.keep_open" : `room.rule_${room.draw}`);
    if (stage === "drawing" || stage === "unknown") return t("room.drawing_text");
    if (room.paused && room.state === "serving") return t(stage === "admitted" ? "room.turn_paused" : "drop.paused_text");
    if (stage === "waiting" && ahead >= unitsOf(room)) return t("room.short_text", { n: unitsOf(room) });
    if (stage === "waiting" || stage === "line") return t("room.waiting_text", { time: duration(room.order_seconds * 1000) });
    return stage === "admitted" ? t(room.available > 0 ? "room.turn_text" : "room.turn_none") : stage === "passed" ? t("room.passed_text") : "";
  }
}
