// What happened, in words, with one thing to do. It is a live region: what is written here is said.

import { type Problem, serverNow } from "../shared/api";
import { refusalOf } from "../shared/refusal";
import type { Words } from "../shared/words";
import { h, write } from "./dom";

export class Notice {
  readonly root: HTMLElement;
  /** The instant of the server's clock at which the page tries again; 0 without one. */
  retryAt = 0;
  #until = 0;
  #title = h("b");
  #text = h("p");
  /** The seconds are not part of the live region: they would be read out one by one. */
  #wait = h("p.num", { hidden: true, "aria-live": "off" });
  #label = "";
  #action = h("button.button.ghost", { type: "button", part: "second-button", hidden: true });
  #reference = h("p.small.soft");
  #area: HTMLElement;
  #act: () => void = () => undefined;

  constructor(private readonly words: Words) {
    this.#area = h("div.tight", {}, this.#title, this.#text, this.#reference);
    this.root = h("div.note.bare", { part: "notice" }, h("div", { role: "status" }, this.#area), this.#wait, this.#action);
    this.#action.addEventListener("click", () => this.#act());
    this.hush();
  }

  get isShown(): boolean {
    return this.#title.textContent !== "";
  }

  shows(title: string): boolean {
    return this.#title.textContent === title;
  }

  say(tone: string, title: string, text = "", reference = ""): void {
    this.hush();
    write(this.#title, title);
    write(this.#text, text);
    write(this.#reference, reference);
    this.#text.hidden = text === "";
    this.#reference.hidden = reference === "";
    this.#area.hidden = false;
    this.root.className = `note ${tone}`;
  }

  sayProblem(problem: Problem): void {
    const { tone, title, text, reference } = refusalOf(problem, this.words);
    this.say(tone, title, text, reference);
  }

  /** Empties the notice. Its element stays, because a live region is only heard if it was there before. */
  hush(): void {
    for (const element of [this.#title, this.#text, this.#reference]) write(element, "");
    this.#area.hidden = true;
    this.#action.hidden = true;
    this.root.className = "note bare";
    [this.retryAt, this.#until, this.#label] = [0, 0, ""];
    this.tick();
  }

  /** Offers one thing to do. */
  offer(text: string, act: () => void): void {
    write(this.#action, text);
    this.#act = act;
    this.#action.hidden = false;
  }

  waitFor(label: string, until: number): void {
    [this.#label, this.#until] = [label, until];
    this.tick();
  }

  tryAgainAfter(seconds: number, stop: () => void): void {
    this.retryAt = serverNow() + seconds * 1000;
    this.waitFor(this.words.t("try.waiting"), this.retryAt);
    this.offer(this.words.t("try.stop"), stop);
  }

  tick(): void {
    const left = this.#until - serverNow();
    this.#wait.hidden = this.#until === 0 || left <= 0;
    if (!this.#wait.hidden) write(this.#wait, `${this.#label} ${this.words.duration(left)}`);
  }
}
