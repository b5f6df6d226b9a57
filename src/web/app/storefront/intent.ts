// A buyer's wish under one idempotency key: made when the page offers it, kept in the tab until the server has answered. A
// double click, a reload and a lost answer ask again with the same key, and the server answers as it did the first time.

import { randomKey, tab } from "../shared/storage";

interface Stored {
  key: string;
  /** The request; there while no answer has come. */
  pending?: unknown;
  /** The instant of the wish, in milliseconds of this machine's clock. */
  at?: number;
  /** The request that was sent with the key and may have been decided. */
  sent?: unknown;
  /** The buyer was sent to the sign-in: only the return from there goes on. */
  isInterrupted?: boolean;
}

/** Milliseconds after which a wish is not gone on with unless the buyer asks again. */
const FRESH_FOR_MS = 900_000;

export class Intent<T> {
  private readonly name: string;

  constructor(of: string) {
    this.name = `firstcome.intent.${of}`;
    if (!this.read()) this.renew();
  }

  private read(): Stored | undefined {
    try {
      const stored = JSON.parse(tab.get(this.name) ?? "null") as Stored | null;
      return typeof stored?.key === "string" ? stored : undefined;
    } catch {
      return undefined;
    }
  }

  private write(stored: Stored): void {
    tab.set(this.name, JSON.stringify(stored));
  }

  get key(): string {
    return this.read()?.key ?? "";
  }

  /** What was sent, and has no answer yet. */
  get pending(): T | undefined {
    return this.read()?.pending as T | undefined;
  }

  /** What was sent with this key first, and may have been decided. */
  get sent(): T | undefined {
    return this.read()?.sent as T | undefined;
  }

  /** True for a wish of the last minutes that was sent and has no answer. */
  get isUnderWay(): boolean {
    const { at = 0, pending, sent, isInterrupted = false } = this.read() ?? { key: "" };
    return pending !== undefined && sent !== undefined && !isInterrupted && Math.abs(Date.now() - at) < FRESH_FOR_MS;
  }

  begin(request: T): void {
    const { key, sent } = this.read() ?? { key: "" };
    this.write({ key: key || randomKey(), pending: request, at: Date.now(), sent });
  }

  /** The request goes to the server. The first one of a key stays known: a later one with other parameters does not replace it. */
  noteSent(): void {
    const stored = this.read();
    if (stored) this.write({ ...stored, sent: stored.sent ?? stored.pending });
  }

  /** The buyer has to sign in first. */
  interrupt(): void {
    const stored = this.read();
    if (stored) this.write({ ...stored, isInterrupted: true });
  }

  /** The server refused, and decided nothing: the same key serves the next attempt, with other parameters too. */
  settle(): void {
    this.write({ key: this.key });
  }

  /** The buyer waits no more. The server may have decided. */
  leave(): void {
    this.write({ key: this.key, sent: this.sent });
  }

  /** The server has done it: the next wish is another one. */
  renew(): void {
    this.write({ key: randomKey() });
  }
}
