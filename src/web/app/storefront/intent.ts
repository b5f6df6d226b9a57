// A buyer's wish under one idempotency key: made when the page offers it, kept in the tab until the server has answered. A
// double click, a reload and a lost answer ask again with the same key, and the server answers as it did the first time.

import { randomKey, tab } from "../shared/storage";

interface Stored {
  key: string;
  /** The request as it was sent; there while no answer has come. */
  pending?: unknown;
}

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

  begin(request: T): void {
    this.write({ key: this.key || randomKey(), pending: request });
  }

  /** The server refused, and decided nothing: the same key serves the next attempt, with other parameters too. */
  settle(): void {
    this.write({ key: this.key });
  }

  /** The server has done it: the next wish is another one. */
  renew(): void {
    this.write({ key: randomKey() });
  }
}
