// What a page keeps in the browser: in the tab, or for all tabs of its origin.

/** Storage may be switched off: then what is kept is kept for this page only. */
class Memory {
  readonly #values = new Map<string, string>();
  constructor(private readonly storage: () => Storage) {}
  get(key: string): string | null {
    try {
      return this.storage().getItem(key);
    } catch {
      return this.#values.get(key) ?? null;
    }
  }
  set(key: string, value: string | null): void {
    try {
      if (value === null) this.storage().removeItem(key);
      else this.storage().setItem(key, value);
    } catch {
      if (value === null) this.#values.delete(key);
      else this.#values.set(key, value);
    }
  }
}

export const tab = new Memory(() => sessionStorage);
export const browser = new Memory(() => localStorage);

/** Returns a random text of 128 bits. It works on pages without TLS, too. */
export function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Returns the buyer whom a token names, or nothing for a text that is no token. */
export function subjectOf(token: string | null): string | undefined {
  try {
    const claims = token?.split(".")[1]?.replaceAll("-", "+").replaceAll("_", "/") ?? "";
    return (JSON.parse(atob(claims)) as { sub?: string }).sub;
  } catch {
    return undefined;
  }
}

const GUEST = "firstcome.guest";

/** Returns the name of this browser, for servers whose buyers have no tokens. */
export function guest(): string {
  const known = browser.get(GUEST) ?? `guest-${randomKey()}`;
  browser.set(GUEST, known);
  return known;
}
