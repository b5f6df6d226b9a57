// The buyer, and the wish that was under way when the page went away.

const root = document.documentElement;
const TOKEN = "firstcome.token";
const GUEST = "firstcome.guest";

/** Buyers have tokens on this server. */
export const needsToken = root.dataset["needsToken"] !== undefined;
export const loginUrl = root.dataset["login"] ?? "";

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
const browser = new Memory(() => localStorage);

/** Returns a random text of 128 bits. It works on pages without TLS, too. */
export function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Takes the token out of the fragment, so that it is neither shown nor kept in the history. */
export function takeToken(): void {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found === null) return;
  tab.set(TOKEN, found);
  history.replaceState(null, "", location.pathname + location.search);
}

export function token(): string | null {
  return needsToken ? tab.get(TOKEN) : null;
}

/** Returns the buyer as the server knows them: the token's, or on a server without tokens a name of this browser. */
export function buyer(): string | undefined {
  const held = token();
  if (needsToken) {
    try {
      const claims = held?.split(".")[1]?.replaceAll("-", "+").replaceAll("_", "/") ?? "";
      return (JSON.parse(atob(claims)) as { sub?: string }).sub;
    } catch {
      return undefined;
    }
  }
  const known = browser.get(GUEST) ?? `guest-${randomKey()}`;
  browser.set(GUEST, known);
  return known;
}

/** Goes to the shop's sign-in, which returns here. */
export function signIn(): void {
  tab.set(TOKEN, null);
  if (!loginUrl) return;
  const url = new URL(loginUrl, location.href);
  url.searchParams.set("return_to", location.origin + location.pathname + location.search);
  location.assign(url);
}
