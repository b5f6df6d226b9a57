// Why a server of another origin does not answer: a browser tells a page's script nothing of it.

const COMPONENT = "/assets/firstcome-drop.js";
const refused = new Set<string>();

/** Remembers that the page's own policy forbids connections to a server. Returns the function that ends it. */
export function watchPolicy(api: string): () => void {
  const { origin } = new URL(api);
  const violated = ({ effectiveDirective, blockedURI }: SecurityPolicyViolationEvent) => {
    if (effectiveDirective === "connect-src" && blockedURI.startsWith(origin)) refused.add(origin);
  };
  document.addEventListener("securitypolicyviolation", violated);
  return () => document.removeEventListener("securitypolicyviolation", violated);
}

/** Returns the key of the text that says why, or nothing if the server may just be away. */
export async function reasonOfSilence(api: string): Promise<string | undefined> {
  const { origin } = new URL(api);
  if (origin === location.origin) return undefined;
  try {
    // Any page may load this file: a server that gives it and no drop does not know the page's origin.
    const there = await fetch(`${api}${COMPONENT}`, { method: "HEAD", cache: "no-store", credentials: "omit" });
    return there.ok ? "component.not_allowed" : undefined;
  } catch {
    return refused.has(origin) ? "component.policy" : undefined;
  }
}
