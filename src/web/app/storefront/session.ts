// The buyer, and the wish that was under way when the page went away.

import { guest, tab } from "../shared/storage";

const root = document.documentElement;
const TOKEN = "firstcome.token";

/** Buyers have tokens on this server. */
export const needsToken = root.dataset["needsToken"] !== undefined;
export const loginUrl = root.dataset["login"] ?? "";

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
  return guest();
}

/** Goes to the shop's sign-in, which returns here. */
export function signIn(): void {
  tab.set(TOKEN, null);
  if (!loginUrl) return;
  const url = new URL(loginUrl, location.href);
  url.searchParams.set("return_to", location.origin + location.pathname + location.search);
  location.assign(url);
}
