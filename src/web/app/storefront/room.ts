// The waiting room on the page of a drop: what it does now, the buyer's ticket and place, and the way to the order.

import { send, serverNow } from "../shared/api";
import { type Room, type Stage, type Ticket, type TicketAnswer, aheadOf, endOf, estimateOf, isOfAnother, mayAsk, needsAnswer, phaseOf, spanText, stageOf, ticketOf, unitsOf } from "../shared/room";
import { browser } from "../shared/storage";
import { count, duration, instant, t } from "../shared/words";
import { type ProofStep, askForDraw, isLate, proofSteps, verifyCommand } from "./draw";
import { follow } from "./live";
import { type Notice, isTransient, partOf } from "./notice";
import { buyer, loginUrl, needsToken, signIn, token } from "./session";

/** After a draw the pages of a crowd ask for their places: so many a second, spread over at most a time. */
const TICKETS_PER_SECOND = 20_000;
const SPREAD_MAX_MS = 20_000;
const ASK_AFTER_MS = 500;

const CHIPS: Record<Stage, string> = {
  closed: "", gathering: "accent", drawing: "accent", line: "accent", unknown: "accent", waiting: "accent", admitted: "good", passed: "warn", ordered: "good", none: "bad", over: "",
};

/** What the component of the page has besides. */
interface Page extends Notice {
  id: string;
  root: HTMLElement;
  isBusy: boolean;
  /** At most so many units for a buyer. */
  limit: number;
  /** The buyer has an order that stands. */
  hasOrder: boolean;
  /** The buyer has a place in the line behind the drop. */
  standsBy: boolean;
}

/** The room's part of the page of a drop; `hasRoom` is false for a drop without one. Alpine makes it reactive. */
export function room() {
  return partOf<Page>()({
    isRoomDrop: false,
    room: undefined as Room | undefined,
    ticket: undefined as Ticket | undefined,
    isTaking: false,
    /** The server has refused the ticket: it is asked again after a click. */
    isRefused: false,
    /** The instant at which the server is asked for the ticket again; 0 without one. */
    askTicketAt: 0,
    proof: [] as ProofStep[],
    isProofOpen: false,
    /** The buyer's ticket was taken too late for the draw. */
    isLateTicket: false,
    /** The drop ended before its draw: there is nothing to check. */
    isCancelled: false,
    /** The seconds for which the draw waits for public randomness; 0 for one without it. */
    beaconSeconds: 0,
    /** The phase in which the ticket was asked for last. */
    askedIn: "",
    /** The state for which the proof was shown. */
    drawnState: "",
    pageTitle: document.title,

    initRoom() {
      this.isRoomDrop = this.root.dataset["room"] !== undefined;
      if (!this.isRoomDrop) return;
      try {
        this.ticket = (JSON.parse(browser.get(this.ticketName) ?? "null") as Ticket | null) ?? undefined;
      } catch {
        this.ticket = undefined;
      }
      follow<Room>(`/v1/drops/${this.id}/room`, (state) => this.takeRoom(state), () => undefined);
    },
    get ticketName(): string {
      return `firstcome.ticket.${this.id}.${buyer() ?? ""}`;
    },
    takeRoom(state: Room) {
      const isFirst = this.room === undefined;
      this.room = state;
      if (this.ticket && isOfAnother(state, this.ticket)) this.keep(undefined);
      if (isFirst) {
        this.root.querySelector(".plain-room")?.remove();
        for (const element of this.root.querySelectorAll<HTMLElement>("form.buy, form.buy + p")) element.hidden = false;
      }
      this.drawRoomBar();
      if (this.isProofOpen && this.drawnState !== state.state) void this.showProof();
      this.drawnState = state.state;
    },
    tickRoom() {
      const title = this.isTurn ? `● ${t("room.turn")}` : this.pageTitle;
      if (document.title !== title) document.title = title;
      const isPlaced = this.ticket?.position !== undefined;
      if (this.isTaking) return;
      if (this.room && this.askTicketAt === 0 && !this.isRefused && needsAnswer(this.room, this.ticket, this.askedIn)) {
        // The end of the buyer's time is needed at once; after a draw all pages ask for their places.
        this.askedIn = phaseOf(this.room, this.ticket);
        const spread = Math.min(SPREAD_MAX_MS, (this.room.tickets / TICKETS_PER_SECOND) * 1000);
        this.askTicketAt = Date.now() + (isPlaced ? 0 : ASK_AFTER_MS + Math.random() * spread);
      }
      if (this.askTicketAt === 0 || Date.now() < this.askTicketAt) return;
      this.askTicketAt = 0;
      void this.askTicket();
    },
    keep(ticket: Ticket | undefined) {
      this.ticket = ticket;
      browser.set(this.ticketName, ticket ? JSON.stringify(ticket) : null);
    },
    drawRoomBar() {
      const { room, ticket } = this;
      const place = ticket?.position ?? 0;
      const share = room && place > 0 ? Math.min(1, room.serving / place) : 1;
      this.root.querySelector<HTMLElement>('[data-bar="room"]')?.style.setProperty("transform", `scaleX(${share})`);
    },

    takeTicket() {
      if (this.isTaking) return;
      if (needsToken && !token()) {
        signIn();
        return;
      }
      this.hush();
      this.isRefused = false;
      void this.askTicket();
    },
    async askTicket(): Promise<void> {
      this.isTaking = true;
      try {
        const body = needsToken ? {} : { buyer: buyer() };
        const answer = await send<TicketAnswer>(`/v1/drops/${this.id}/tickets`, { method: "POST", token: token(), body });
        if (answer.kind === "ok" && this.room) {
          this.keep(ticketOf(answer.body, this.room, serverNow()));
          if (this.noticeText === t("room.lost")) this.hush();
          this.drawRoomBar();
          if (this.isProofOpen) void this.showProof();
          return;
        }
        if (answer.kind !== "problem") {
          this.say("warn", t("lost.title"), t("room.lost"));
          this.askTicketAt = Date.now() + 2_000;
          return;
        }
        const { problem } = answer;
        this.sayProblem(problem);
        this.isRefused = !isTransient(problem);
        if (isTransient(problem)) {
          const seconds = problem.retryAfter ?? 2;
          this.waitFor(t("try.waiting"), this.now + seconds * 1000);
          this.askTicketAt = Date.now() + seconds * 1000;
        }
        if (problem.code === "unauthorized" && loginUrl) setTimeout(signIn, 1_500);
      } finally {
        this.isTaking = false;
      }
    },

    get hasRoom(): boolean {
      // The proof of a draw stays.
      return this.room !== undefined && ((this.stage !== "over" && this.stage !== "ordered" && !this.standsBy) || this.hasProof);
    },
    get stage(): Stage {
      return this.room ? stageOf(this.room, this.ticket, this.now, this.hasOrder && (this.limit === 1 || !this.isWithinTurn)) : "over";
    },
    get isWithinTurn(): boolean {
      return this.room !== undefined && endOf(this.room, this.ticket) > this.now;
    },
    /** True where an order can be asked for: without a room, and for an admitted buyer. */
    get isTurn(): boolean {
      return this.room !== undefined && this.stage === "admitted" && !this.standsBy;
    },
    get mayAsk(): boolean {
      return this.room !== undefined && mayAsk(this.room, this.stage, this.now);
    },
    get roomChip(): string {
      return `chip ${CHIPS[this.stage]}`;
    },
    get roomWord(): string {
      return t("room.chip");
    },
    get roomTitle(): string {
      const { stage, ticket } = this;
      if (stage === "waiting" || stage === "ordered" || (this.standsBy && ticket?.position !== undefined)) return t("room.place", { n: (ticket?.position ?? 0) + 1 });
      if (ticket && (stage === "gathering" || stage === "drawing" || stage === "unknown")) return t("room.number", { n: ticket.number });
      const titles: Record<Stage, string> = {
        closed: "room.closed", gathering: "room.open", drawing: "room.drawing", line: "room.line", unknown: "room.drawn", waiting: "",
        admitted: "room.turn", passed: "room.passed", ordered: "", none: "room.none", over: "drop.ended",
      };
      return t(titles[stage]);
    },
    get roomClockAt(): number {
      const { stage, room, ticket } = this;
      if (!room) return 0;
      if (stage === "closed") return Date.parse(room.opens_at);
      if (stage === "gathering") return Date.parse(room.starts_at);
      return this.isTurn && !room.paused ? endOf(room, ticket) : 0;
    },
    get hasRoomClock(): boolean {
      return this.roomClockAt > 0;
    },
    get roomClockLabel(): string {
      if (this.stage === "gathering") return t("room.starts_in");
      return t(this.stage === "admitted" ? "order.left" : "room.opens_in");
    },
    get roomClock(): string {
      return this.hasRoomClock ? duration(this.roomClockAt - this.now) : "";
    },
    get hasPlace(): boolean {
      return this.stage === "waiting";
    },
    get ahead(): number {
      return this.room && this.ticket?.position !== undefined ? aheadOf(this.room, this.ticket.position) : 0;
    },
    get roomAhead(): string {
      return count(this.ahead);
    },
    get roomAheadWord(): string {
      return t("room.ahead");
    },
    get roomEstimate(): string {
      if (!this.room || this.stage !== "waiting") return "";
      const estimate = estimateOf(this.room, this.ahead, this.now);
      return estimate ? spanText({ t }, estimate) : t("room.no_estimate");
    },
    get hasRoomCount(): boolean {
      return this.stage === "gathering" || this.stage === "drawing" || this.stage === "line";
    },
    get roomCount(): string {
      const { room } = this;
      if (!room) return "";
      return count(this.stage === "line" ? room.tickets - room.serving : room.tickets);
    },
    get roomCountWord(): string {
      return t(this.stage === "line" ? "room.ahead" : "room.tickets", { n: this.room?.tickets ?? 0 });
    },
    get roomText(): string {
      const { stage, room, ticket } = this;
      if (!room || this.standsBy) return "";
      const rule = t(room.draw === "random" ? "room.rule_random" : "room.rule_arrival");
      const time = duration(room.order_seconds * 1000);
      const at = instant(room.starts_at);
      switch (stage) {
        case "closed":
          return `${rule} ${t("room.opens", { at: instant(room.opens_at) })}`;
        case "gathering":
          return ticket ? `${rule} ${t("room.keep", { at })}` : `${rule} ${t("room.starts", { at })}`;
        case "drawing":
          return `${this.beaconText} ${t("room.drawing_text")}`.trim();
        case "unknown":
          return t("room.drawing_text");
        case "line":
          return t("room.line_rule", { time });
        case "waiting":
          return `${t("room.waiting_text", { time })} ${t("room.keep_open")}`;
        case "admitted":
          return t(room.paused ? "room.turn_paused" : room.available > 0 ? "room.turn_text" : "room.turn_none");
        case "passed":
          return t("room.passed_text");
        case "none":
          return t("room.none_text");
        case "ordered":
        case "over":
          return "";
      }
    },
    /** A draw that waits for public randomness, and until when. */
    get beaconText(): string {
      if (!this.room || this.beaconSeconds === 0) return "";
      return t("draw.beacon_until", { at: instant(Date.parse(this.room.starts_at) + this.beaconSeconds * 1000) });
    },
    get hasRoomText(): boolean {
      return this.roomText !== "";
    },
    get roomNote(): string {
      const { room, stage } = this;
      if (!room) return "";
      if (room.paused && room.state === "serving") return t("room.paused_text");
      if (stage === "waiting" && this.ahead >= unitsOf(room)) return t("room.short_text", { n: unitsOf(room) });
      return "";
    },
    get hasRoomNote(): boolean {
      return this.roomNote !== "";
    },
    get canTake(): boolean {
      return (this.stage === "gathering" && !this.ticket) || this.stage === "line" || (this.stage === "drawing" && !this.ticket);
    },
    get takeText(): string {
      if (this.isTaking) return t("room.taking");
      return t(needsToken && !token() ? "room.sign_in" : "room.take");
    },

    /** The draw can be checked from its beginning on. */
    get hasProof(): boolean {
      return this.room?.draw === "random";
    },
    get proofLink(): string {
      const { id } = this;
      return `/v1/drops/${id}/draw${this.ticket ? `?ticket=${this.ticket.number}` : ""}`;
    },
    get proofCommand(): string {
      const { number, digest } = this.isLateTicket ? {} : (this.ticket ?? {});
      return verifyCommand(this.id, number, digest);
    },
    lookAtDraw(event: Event) {
      this.isProofOpen = (event.target as HTMLDetailsElement).open;
      if (this.isProofOpen) void this.showProof();
    },
    async showProof(): Promise<void> {
      const link = this.proofLink;
      const draw = await askForDraw(link, () => this.isProofOpen && this.proofLink === link);
      if (!draw) return;
      this.isLateTicket = isLate(draw, this.ticket);
      this.isCancelled = draw.state === "cancelled";
      this.proof = proofSteps(draw, this.ticket, this.beaconSeconds > 0);
    },
  });
}
