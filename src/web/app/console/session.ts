// The operator's token and role. The token stays in this tab (`sessionStorage`) and travels as `Authorization`.
import { reactive } from "./reactive";
import { send, type Answer, type Call, type Problem } from "../shared/api";

export interface Me {
  name: string;
  role: "viewer" | "operator" | "owner";
  needs_token: boolean;
  version: string;
  public_url: string;
  node?: string;
  node_role?: string;
  shard: number;
  has_prometheus: boolean;
  has_play_money: boolean;
}

const KEY = "firstcome.operator";
const RANKS = { viewer: 0, operator: 1, owner: 2 };

export const session = reactive({
  me: null as Me | null,
  token: sessionStorage.getItem(KEY) ?? "",
  /** The sign-in stands over the page. What the page has stays. */
  isAsking: false,
  why: "",
  isChecking: true,
});

/** Requests that wait for a token that is right. */
let waiting: (() => void)[] = [];

export function may(role: keyof typeof RANKS): boolean {
  return session.me !== null && RANKS[session.me.role] >= RANKS[role];
}

/** Returns the headers of a request that is not sent by `ask`. */
export function authorization(): Record<string, string> {
  return session.token ? { Authorization: `Bearer ${session.token}` } : {};
}

/** Tries a token. Returns the reason why it is not taken, or nothing. */
export async function signIn(token: string): Promise<string> {
  session.isChecking = true;
  const answer = await send<Me>("/v1/console/session", { token: token || null });
  session.isChecking = false;
  if (answer.kind === "ok") {
    session.me = answer.body;
    session.token = answer.body.needs_token ? token : "";
    if (session.token) sessionStorage.setItem(KEY, session.token);
    session.isAsking = false;
    session.why = "";
    for (const go of waiting.splice(0)) go();
    return "";
  }
  if (answer.kind === "problem" && answer.problem.status === 401) {
    sessionStorage.removeItem(KEY);
    return token ? "This token is unknown, expired or revoked." : "";
  }
  return answer.kind === "problem" ? answer.problem.detail : "The server does not answer. It is tried again by itself.";
}

/** Ends the session. The page is loaded anew, so that nothing of it stays: orders, contacts, and what was typed. */
export function signOut(): void {
  sessionStorage.clear();
  location.reload();
}

/** Waits until an operator has signed in. */
export function signedIn(why: string): Promise<void> {
  session.isAsking = true;
  session.why = why;
  return new Promise((go) => waiting.push(go));
}

function otherOperator({ name, role }: Me): Problem {
  return { code: "other-operator", status: 0, detail: `You have signed in as ${name} (${role}), and the step was begun by another operator.`, requestId: "", members: {} };
}

/**
 * Sends a request with the token. If the token has expired or was revoked, the operator signs in again and the same request is
 * sent once more, with its key: nothing is lost, and nothing is done twice.
 */
export async function ask<T>(path: string, call: Call = {}): Promise<Answer<T>> {
  const asker = session.me;
  for (;;) {
    const used = session.token;
    // A step is the operator's who began it: another one, or another role, confirms it again.
    const isOthers = asker !== null && session.me !== null && (session.me.name !== asker.name || session.me.role !== asker.role);
    if (isOthers && (call.method ?? "GET") !== "GET") return { kind: "problem", problem: otherOperator(session.me as Me) };
    const answer = await send<T>(path, { ...call, token: used || null });
    if (answer.kind !== "problem" || answer.problem.status !== 401) return answer;
    if (session.token === used || session.isAsking) {
      await signedIn(used ? "Your token has expired or was revoked. Sign in again: what you began goes on." : "");
    }
  }
}
