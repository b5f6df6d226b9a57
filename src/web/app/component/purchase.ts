// A purchase: one wish under one key, asked until the server has answered.

import { type Problem, send } from "../shared/api";
import { TRIES_MAX, isTransient } from "../shared/refusal";
import type { Standby } from "../shared/standby";
import { solveChallenge } from "../storefront/challenge";
import { Intent } from "../storefront/intent";

export interface Wish {
  quantity: number;
  /** Of a drop with caps on identities: the order must come with them. */
  contact?: Record<string, string>;
  /** Stand by if no unit is left. */
  standby?: boolean;
}

export interface Order {
  id: string;
  code: string;
  quantity: number;
  amount: number;
  currency: string;
  state: "reserved" | "awaiting_payment" | "paid" | "expired" | "cancelled" | "refunded" | "refund_due";
  reserved_at: string;
  expires_at: string;
  end_reason?: string;
  payment_url?: string;
  refund_due_amount?: number;
}

/** What became of one attempt. */
export type Outcome =
  | { kind: "order"; order: Order }
  /** Too few units are free: a place in the line. Or a blind window has recorded the order. */
  | { kind: "line"; place: Standby<Order>; key: string }
  /** The server wants a token, or another one. The wish stays pending. */
  | { kind: "sign-in"; problem: Problem }
  /** No answer: the same key asks for what was decided. */
  | { kind: "lost"; after: number | undefined }
  | { kind: "unsolved" }
  /** Refused; `after` are the seconds to the next attempt, if there is one by itself. */
  | { kind: "refused"; problem: Problem; after: number | undefined };

export interface Buyer {
  token: string | null;
  /** For servers without tokens. */
  name: string;
}

const AGAIN_AFTER_SECONDS = 2;

export class Purchase {
  readonly #intent: Intent<Wish>;
  #tries = 0;
  #isBusy = false;

  constructor(
    private readonly api: string,
    private readonly dropId: string,
    private readonly buyer: () => Buyer,
  ) {
    this.#intent = new Intent<Wish>(`${api}.drop.${dropId}`);
  }

  /** The wish that has no answer yet: of this page, or of one before the reload. */
  get pending(): Wish | undefined {
    return this.#intent.pending;
  }

  /** Begins a series of attempts. The key stays that of the wish until the server has done it. */
  begin(wish: Wish): void {
    this.#tries = 0;
    this.#intent.begin(wish);
  }

  /** Stops asking. The key stays: an answer that was lost is found by the next attempt. */
  stop(): void {
    this.#intent.settle();
  }

  /** Asks once; `undefined` while it asks already. `solving` is called before a proof of work. */
  async ask(solving: () => void): Promise<Outcome | undefined> {
    if (this.#isBusy) return undefined;
    this.#isBusy = true;
    try {
      return await this.attempt(solving);
    } finally {
      this.#isBusy = false;
    }
  }

  private async attempt(solving: () => void, solution?: string): Promise<Outcome> {
    this.#tries += 1;
    const { token, name } = this.buyer();
    const headers: Record<string, string> = { "Idempotency-Key": this.#intent.key };
    if (solution) headers["Firstcome-Challenge"] = solution;
    const body = { ...(token ? {} : { buyer: name }), ...(this.#intent.pending ?? { quantity: 1 }) };
    const answer = await send<Order>(`${this.api}/v1/drops/${this.dropId}/orders`, { method: "POST", token, headers, body });
    if (answer.kind === "ok") {
      const { key } = this.#intent;
      this.#intent.renew();
      if (answer.status === 202) return { kind: "line", place: answer.body as unknown as Standby<Order>, key };
      return { kind: "order", order: answer.body };
    }
    const again = (seconds: number) => (this.#tries < TRIES_MAX ? seconds : undefined);
    if (answer.kind !== "problem") return { kind: "lost", after: again(AGAIN_AFTER_SECONDS) };
    const { problem } = answer;
    if (problem.code === "unauthorized") return { kind: "sign-in", problem };
    if (problem.code === "challenge-required") {
      const { kind } = (problem.members["challenge"] ?? {}) as { kind?: string };
      if (solution === undefined && kind === "proof_of_work") {
        solving();
        return this.attempt(solving, (await solveChallenge(this.api, this.dropId, token)) ?? "");
      }
      this.#intent.settle();
      return { kind: "unsolved" };
    }
    if (isTransient(problem)) return { kind: "refused", problem, after: again(problem.retryAfter ?? AGAIN_AFTER_SECONDS) };
    this.#intent.settle();
    return { kind: "refused", problem, after: undefined };
  }
}
