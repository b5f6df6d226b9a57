import type { components } from "./schema.ts";

type Schemas = components["schemas"];
type ProblemSchemas = { [Name in keyof Schemas as Name extends `Problem${string}` ? Name : never]: Schemas[Name] };

/** A problem document (RFC 9457) of the server. */
export type Problem = ProblemSchemas[keyof ProblemSchemas];

/** The code of a problem, such as `sold-out`. */
export type ProblemCode = Problem["code"];

/** The server answered with a problem: nothing was done, unless the code is `outcome-unknown`. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly status: number;
  readonly problem: Problem;
  /** Seconds after which the server may answer otherwise; absent if it did not say. */
  readonly retryAfter: number | undefined;

  constructor(problem: Problem, retryAfter?: number) {
    super(`${problem.title}: ${problem.detail} (request ${problem.request_id})`);
    this.status = problem.status;
    this.problem = problem;
    this.retryAfter = retryAfter;
  }

  get code(): ProblemCode {
    return this.problem.code;
  }

  /** Returns whether the problem has this code; its members are known to the compiler then. */
  is<Code extends ProblemCode>(code: Code): this is ProblemError & { problem: Extract<Problem, { code: Code }> } {
    return this.problem.code === code;
  }
}

/** The answer was no problem document: something between the client and the server answered. */
export class UnexpectedResponseError extends Error {
  override readonly name = "UnexpectedResponseError";
  readonly status: number;
  readonly body: string;

  constructor(status: number, body: string) {
    super(`status ${status} without a problem document`);
    this.status = status;
    this.body = body;
  }
}

/** Returns the seconds of a `Retry-After` header; undefined without one, or with a date. */
export function retryAfterOf(headers: Headers): number | undefined {
  const text = headers.get("Retry-After");
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

function isProblem(value: unknown): value is Problem {
  return typeof value === "object" && value !== null && "code" in value && typeof value.code === "string" && "title" in value;
}

/** Returns the error of a response that is not successful. */
export function errorOf(response: Response, body: unknown): ProblemError | UnexpectedResponseError {
  if (isProblem(body)) return new ProblemError(body, retryAfterOf(response.headers));
  return new UnexpectedResponseError(response.status, typeof body === "string" ? body : (JSON.stringify(body) ?? ""));
}
