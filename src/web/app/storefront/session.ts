// The buyer, and the wish that was under way when the page went away.

import { guest, randomKey, subjectOf, tab } from "../shared/storage";

const root = document.documentElement;
const TOKEN = "firstcome.token";

/** Buyers have tokens on this server. */
export const needsToken = root.dataset["needsToken"] !== undefined;
export const loginUrl = root.dataset["login"] ?? "";

const SIGN_IN = "firstcome.sign-in";
/** The parameter of `return_to` that tells a return from this tab's own sign-in. */
const RETURN = "signed_in";
const SIGN_IN_WITHIN_MS = 1_800_000;

/** True if the page was loaded by the return from a sign-in that this tab began. */
export let hasReturned = false;

/** Takes the token out of the address, so that it is neither shown nor kept in the history. A token counts only if this tab asked
 *  for it: a link of others signs nobody in. */
export function takeToken(): void {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  const query = new URLSearchParams(location.search);
  const nonce = query.get(RETURN);
  if (found === null && nonce === null) return;
  query.delete(RETURN);
  const rest = query.toString();
  history.replaceState(null, "", location.pathname + (rest ? `?${rest}` : "") + (found === null ? location.hash : ""));
  const [asked = "", at = "0"] = (tab.get(SIGN_IN) ?? "").split(" ");
  const isOwn = asked !== "" && asked === nonce && Date.now() - Number(at) < SIGN_IN_WITHIN_MS;
  // A text that no header takes is no token.
  if (found === null || !isOwn || found.length > 4_096 || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(found)) return;
  tab.set(SIGN_IN, null);
  tab.set(TOKEN, found);
  hasReturned = true;
}

export function token(): string | null {
  return needsToken ? tab.get(TOKEN) : null;
}

/** Returns the buyer as the server knows them: the token's, or on a server without tokens a name of this browser. */
export function buyer(): string | undefined {
  return needsToken ? subjectOf(token()) : guest();
}

/** Goes to the shop's sign-in, which returns here. */
export function signIn(): void {
  tab.set(TOKEN, null);
  if (!loginUrl) return;
  const url = new URL(loginUrl, location.href);
  const nonce = randomKey();
  tab.set(SIGN_IN, `${nonce} ${Date.now()}`);
  const back = new URL(location.origin + location.pathname + location.search);
  back.searchParams.set(RETURN, nonce);
  url.searchParams.set("return_to", back.href);
  location.assign(url);
}
