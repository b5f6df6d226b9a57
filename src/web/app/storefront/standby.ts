// The line of buyers who stand by for a drop that is sold out, and the orders that a blind window has recorded: the buyer's place
// or number, and the order that came of it.

import { send } from "../shared/api";
import { RECORDED, type Standby, isRecorded, leftWords, nextLook, placeWords, soonerLook, untilDecided } from "../shared/standby";
import { browser } from "../shared/storage";
import { count, duration, t } from "../shared/words";
import { type ProofStep, askForDraw, proofSteps, verifyCommand } from "./draw";
import { type Notice, partOf } from "./notice";
import { buyer, needsToken, token } from "./session";

interface Page extends Notice {
  id: string;
  root: HTMLElement;
  starts: number;
  state: string;
  /** Goes to the order that was granted. */
  granted(orderId: string, wasSeenWaiting: boolean): void;
}

export function standby() {
  return partOf<Page>()({
    line: undefined as Standby | undefined,
    /** Buyers in the line, as the drop says. */
    lineLength: 0,
    isLeaving: false,
    askLineAt: 0,
    /** The length of the blind window in milliseconds; 0 without one. */
    blindMs: 0,
    blindProof: [] as ProofStep[],
    /** The drop ended before its draw: there is nothing to check. */
    isBlindCancelled: false,
    /** The number of this browser's recorded order; 0 without one. */
    recordedNumber: 0,

    initStandby() {
      this.lineLength = Number(this.root.dataset["standby"] ?? 0);
      this.blindMs = Number(this.root.dataset["blind"] ?? 0);
      this.recordedNumber = Number(browser.get(this.recordedName) ?? 0);
      this.root.querySelector(".plain-line")?.remove();
      if (browser.get(this.lineName)) this.askLineAt = Date.now();
    },
    get lineName(): string {
      return `firstcome.standby.${this.id}.${buyer() ?? ""}`;
    },
    /** The number of this browser's recorded order, kept for the proof. */
    get recordedName(): string {
      return `firstcome.recorded.${this.id}.${buyer() ?? ""}`;
    },
    /** The figures of the drop have changed. */
    lineMoved(length: number) {
      this.lineLength = length;
      if (this.line) this.askLineAt = soonerLook(this.line, this.askLineAt);
    },
    tickStandby() {
      if (this.askLineAt === 0 || Date.now() < this.askLineAt || document.hidden || this.isLeaving) return;
      this.askLineAt = nextLook(this.line);
      void this.askLine();
    },
    /** `joined` is the key of a request to join: later looks with it are told the order. */
    takeLine(line: Standby, joined?: string) {
      const wasWaiting = this.line !== undefined;
      if (line.state === "ordered") {
        this.forgetLine();
        if (line.order) this.granted(line.order.id, wasWaiting);
        return;
      }
      if (line.state === "left") {
        this.forgetLine();
        const [title, text] = leftWords(line);
        this.say("warn", t(title), t(text));
        return;
      }
      // A repeat from another tab has another key than the place.
      if (joined && !this.line) browser.set(`${this.lineName}.key`, joined);
      this.line = line;
      browser.set(this.lineName, isRecorded(line) ? RECORDED : "1");
      if (isRecorded(line)) {
        this.recordedNumber = line.ticket ?? 0;
        browser.set(this.recordedName, String(this.recordedNumber));
      }
      this.askLineAt = nextLook(line);
    },
    forgetLine() {
      this.line = undefined;
      this.askLineAt = 0;
      browser.set(this.lineName, null);
    },
    get linePath(): string {
      const name = needsToken ? "" : `?buyer=${encodeURIComponent(buyer() ?? "")}`;
      return `/v1/drops/${this.id}/standby${name}`;
    },
    async askLine(): Promise<void> {
      const headers = { "Idempotency-Key": browser.get(`${this.lineName}.key`) ?? "" };
      const answer = await send<Standby>(this.linePath, { token: token(), headers });
      if (this.isLeaving) return;
      if (answer.kind === "ok") {
        this.takeLine(answer.body);
      } else if (answer.kind === "problem" && answer.problem.status === 404) {
        const wasRecorded = browser.get(this.lineName) === RECORDED;
        this.forgetLine();
        // The drop has ended, and nothing tells what became of a recorded order.
        if (wasRecorded) this.say("warn", t("blind.missed"), t(this.state === "ended" ? "drop.ended_text" : "blind.missed_text"));
      }
    },
    async leaveLine(): Promise<void> {
      if (this.isLeaving) return;
      this.isLeaving = true;
      try {
        const answer = await send<null>(this.linePath, { method: "DELETE", token: token() });
        if (answer.kind === "ok") {
          const left = t(isRecorded(this.line) ? "blind.left" : "standby.left");
          this.forgetLine();
          this.say("", left, "");
        } else if (answer.kind === "lost") {
          this.say("warn", t("lost.title"), t("drop.offline"));
        } else if (answer.kind === "problem" && answer.problem.status !== 404) {
          this.sayProblem(answer.problem);
        }
      } finally {
        this.isLeaving = false;
        // What became of it: a unit may have come back meanwhile.
        if (this.line) void this.askLine();
      }
    },

    get standsBy(): boolean {
      return this.line?.state === "waiting";
    },
    get isRecorded(): boolean {
      return isRecorded(this.line);
    },
    /** True while the buyer waits for what becomes of a wish. */
    get isInLine(): boolean {
      return this.line !== undefined;
    },
    get recordedTitle(): string {
      return t("blind.title", { n: this.line?.ticket ?? 0 });
    },
    get hasRecordedClock(): boolean {
      return this.now > 0 && untilDecided(this.line) > 0 && this.state !== "paused";
    },
    get recordedClock(): string {
      return duration(Date.parse(this.line?.decided_at ?? "") - this.now);
    },
    get recordedNote(): string {
      if (this.state === "paused") return t("blind.paused");
      return this.hasRecordedClock ? "" : t("blind.soon");
    },
    get hasRecordedNote(): boolean {
      return this.recordedNote !== "";
    },
    get recordedText(): string {
      return `${t("blind.text")} ${t("blind.stay")}`;
    },
    /** The rule is told until the window is over. */
    get noBlindRule(): boolean {
      return this.isInLine || this.state === "ended" || this.now >= this.starts + this.blindMs;
    },
    get hasBlindProof(): boolean {
      return this.blindMs > 0;
    },
    get blindProofLink(): string {
      const ticket = this.recordedNumber;
      return `/v1/drops/${this.id}/draw${ticket ? `?ticket=${ticket}` : ""}`;
    },
    get blindCommand(): string {
      return verifyCommand(this.id, this.recordedNumber);
    },
    async lookAtBlindDraw(event: Event): Promise<void> {
      const details = event.target as HTMLDetailsElement;
      const draw = await askForDraw(this.blindProofLink, () => details.open);
      if (!draw) return;
      this.blindProof = proofSteps(draw, undefined, false, "blind");
      this.isBlindCancelled = draw.state === "cancelled";
    },
    get lineTitle(): string {
      return placeWords(this.line, { t, count }).title;
    },
    get lineAhead(): string {
      return placeWords(this.line, { t, count }).ahead;
    },
    get lineHeld(): string {
      return placeWords(this.line, { t, count }).held;
    },
    get lineNextAt(): number {
      return this.line?.next_expiry_at === undefined ? 0 : Date.parse(this.line.next_expiry_at);
    },
    get hasLineNext(): boolean {
      return this.lineNextAt > this.now;
    },
    get lineNext(): string {
      return duration(this.lineNextAt - this.now);
    },
    get lineText(): string {
      return placeWords(this.line, { t, count }).text;
    },
  });
}
