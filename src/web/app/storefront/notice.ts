// A refusal in words: what happened, its number, and one thing to do. Each page component has one.

import { type Problem, serverNow } from "../shared/api";
import { isTransient, refusalOf } from "../shared/refusal";
import { duration, hasText, t } from "../shared/words";

export { isTransient };

/** The part of a component that says what happened. Alpine makes it reactive. */
export function notice() {
  return {
    noticeTone: "",
    noticeTitle: "",
    noticeText: "",
    reference: "",
    link: "",
    linkText: "",
    retryAt: 0,
    waitUntil: 0,
    waitLabel: "",
    canRetry: false,
    now: serverNow(),
    get hasNotice(): boolean {
      return this.noticeTitle !== "";
    },
    get tone(): string {
      return `note ${this.noticeTone}`;
    },
    get hasLink(): boolean {
      return this.link !== "";
    },
    get hasReference(): boolean {
      return this.reference !== "";
    },
    get isWaiting(): boolean {
      return this.retryAt > 0;
    },
    get hasAction(): boolean {
      return this.hasLink || this.canRetry || this.isWaiting;
    },
    get hasWait(): boolean {
      return this.waitUntil > this.now;
    },
    get waitClock(): string {
      return duration(this.waitUntil - this.now);
    },
    say(tone: string, title: string, text: string): void {
      this.hush();
      [this.noticeTone, this.noticeTitle, this.noticeText] = [tone, title, text];
    },
    hush(): void {
      [this.noticeTone, this.noticeTitle, this.noticeText, this.reference] = ["", "", "", ""];
      [this.link, this.linkText, this.waitLabel] = ["", "", ""];
      [this.retryAt, this.waitUntil, this.canRetry] = [0, 0, false];
    },
    offer(link: string, text: string): void {
      [this.link, this.linkText] = [link, text];
    },
    waitFor(label: string, until: number): void {
      [this.waitLabel, this.waitUntil] = [label, until];
    },
    /** Shows a problem; with a time after which the page tries again. */
    sayProblem(problem: Problem, values: Record<string, string | number> = {}): void {
      const { tone, title, text, reference } = refusalOf(problem, { t, hasText }, values);
      this.say(tone, title, text);
      this.reference = reference;
    },
    /** Tries again at an instant of the server's clock. */
    tryAgainAfter(seconds: number): void {
      this.retryAt = serverNow() + seconds * 1000;
      this.waitFor(t("try.waiting"), this.retryAt);
    },
  };
}

export type Notice = ReturnType<typeof notice>;

/** Takes away the classes that the server wrote where scripts write others: Alpine only adds to them. */
export function dropServersClasses(root: HTMLElement): void {
  for (const element of root.querySelectorAll(".chip[x-bind\\:class]")) element.className = "chip";
}

/** Joins the parts of a component, with their getters: spreading would read them once. */
export function joined<A extends object, B extends object>(one: A, other: B & ThisType<A & B>): A & B {
  return Object.defineProperties(one, Object.getOwnPropertyDescriptors(other)) as A & B;
}

/** Returns a part of a component that uses what the page `P` has besides. */
export function partOf<P>() {
  return <B extends object>(part: B & ThisType<P & B>): B => part;
}
